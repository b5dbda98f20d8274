"""Files in fewer bits: what lies in them, what they compute, and what is refused."""

from contextlib import nullcontext
from dataclasses import replace

import faults
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

from mmspec.deploy import read_target
from mmspec.deploy.cases import cases
from mmspec.deploy.file import array, graphs, initializers, run_file, with_arrays
from mmspec.deploy.precision import blocks, dynamic, half
from mmspec.deploy.precision.calibration import ranges_of
from mmspec.deploy.precision.layers import rewritten
from mmspec.deploy.precision.lowering import lowered_of
from mmspec.deploy.precision.roles import roles_of
from mmspec.deploy.precision.stored import Asked
from mmspec.errors import Failure, UserError
from mmspec.packaged.held import differs, stored
from mmspec.spec import SpecError

TARGETS = {
    "int8": "device: cpu\nruntime: onnxruntime\nprecision: int8\nloss: {outputs: 0.1}",
    "u8s8": "device: cpu\nruntime: onnxruntime\nprecision: int8\nquantisation: {activations: static, examples: random}\nloss: {outputs: 0.3}",
    "s8s8": "device: cpu\nruntime: openvino\nprecision: int8\nquantisation: {examples: random}\nloss: {outputs: 0.3}",
    "int4": "device: cpu\nruntime: onnxruntime\nprecision: int4\nloss: {outputs: 0.5, exits: 0.5}",
    "fp16": "device: cuda\nruntime: onnxruntime\nprecision: fp16",
    "bf16": "device: cpu\nruntime: openvino\nprecision: bf16",
}


def in_target(draft, name):
    return replace(draft, target=read_target(TARGETS.get(name, name)))


def lowered(draft, name):
    return lowered_of(in_target(draft, name), lambda text: nullcontext())


def linear(seed=0):
    """y = x W^T + b as a Gemm, and its weight."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.standard_normal((6, 40)).astype(np.float32), rng.standard_normal(6).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "layer.weight", "layer.bias"], ["y"], name="node_y", transB=1)
    ends = [helper.make_tensor_value_info(n, 1, ["batch", size]) for n, size in (("x", 40), ("y", 6))]
    held = [numpy_helper.from_array(weight, "layer.weight"), numpy_helper.from_array(bias, "layer.bias")]
    graph = helper.make_graph([node], "linear", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), weight, bias


def answer(proto, x):
    return run_file(proto)((torch.from_numpy(x),))["y"]


def test_dynamic_int8_computes_what_onnxruntimes_own_quantiser_makes_of_the_same_layer(tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto, _, _ = linear()
    onnx.save(proto, tmp_path / "float.onnx")
    quantize_dynamic(
        tmp_path / "float.onnx", tmp_path / "theirs.onnx", op_types_to_quantize=["MatMul", "Gemm"], per_channel=True,
        weight_type=QuantType.QInt8,
    )  # fmt: skip
    x = np.random.default_rng(1).standard_normal((5, 40)).astype(np.float32)
    ours, theirs = (
        answer(rewritten(proto, ["layer.weight"], dynamic.write), x),
        answer(onnx.load(tmp_path / "theirs.onnx"), x),
    )
    step = np.abs(answer(proto, x)).max()
    assert np.abs(ours - theirs).max() <= 2e-3 * step < np.abs(ours - answer(proto, x)).max()


def test_packed_blocks_are_what_onnxruntimes_operator_unpacks():
    proto, weight, bias = linear()
    made = rewritten(proto, ["layer.weight"], blocks.write)
    x = np.random.default_rng(1).standard_normal((5, 40)).astype(np.float32)
    integers, steps, zeros = blocks.by_blocks(weight)

    def low(pairs):
        return np.stack([pairs & 15, pairs >> 4], -1).reshape(*pairs.shape[:-1], -1).astype(np.float32)

    values = (low(integers) - low(zeros)[:, : steps.shape[1], None]) * steps[..., None]
    wanted = x @ values.reshape(6, -1)[:, :40].T + bias
    assert np.abs(answer(made, x) - wanted).max() <= 0.02 * np.abs(wanted).max()  # it makes int8 of x
    assert np.abs(values.reshape(6, -1)[:, :40] - weight).max() <= steps.max() / 2 * 1.001


def test_a_step_that_hides_a_change_is_one_that_the_weight_does_not_ask_for():
    file, weight, _ = linear()
    held = {tensor.name: array(tensor) for tensor in rewritten(file, ["layer.weight"], dynamic.write).graph.initializer}
    assert differs("int8", "layer.weight", held.__getitem__, weight) == ""
    steps = held["layer.weight_scale"]
    for spoilt, words in (
        ({"layer.weight_scale": -steps}, "254 steps from the model's"),
        (
            {"layer.weight_scale": steps * 1000, "layer.weight_quantized": 0 * held["layer.weight_quantized"]},
            "1e+03 times",
        ),
        ({"layer.weight_scale": steps * np.nan}, "nan steps from the model's"),
    ):
        assert words in differs("int8", "layer.weight", (held | spoilt).__getitem__, weight)
    del held["layer.weight_scale"]
    assert differs("int8", "layer.weight", held.__getitem__, weight) == "lacks layer.weight_scale"


def test_a_weight_that_is_multiplied_and_looked_up_is_compared_in_both_of_its_forms():
    file, weight, bias = linear()
    file.graph.input.append(helper.make_tensor_value_info("id", 7, ["batch"]))
    file.graph.node.append(helper.make_node("Gather", ["layer.weight", "id"], ["found"], name="node_found"))
    file.graph.output.append(helper.make_tensor_value_info("found", 1, ["batch", 40]))
    made = rewritten(file, ["layer.weight"], dynamic.write)
    assert stored(made) == {"layer.weight": "int8", "layer.bias": "float32"}
    model, asked = {"layer.weight": weight, "layer.bias": bias}, Asked({"layer.weight": "int8"})
    assert list(asked.problems(made, model, {"layer.weight"})) == []
    for spoilt, words in (
        ({"layer.weight": weight + np.float32(1e-6)}, "is not the model's, bit for bit"),
        ({"layer.weight_quantized": -array(initializers(made)["layer.weight_quantized"])}, "steps from the model's"),
    ):
        (problem,) = asked.problems(with_arrays(made, spoilt), model, {"layer.weight"})
        assert words in problem


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_the_flagship_passes_its_gates_in_every_precision_and_what_decides_stays_float(flagship, name):
    if "openvino" in TARGETS[name]:
        pytest.importorskip("openvino")
    made = lowered(flagship, name)
    made.check()
    fidelity = made.prove()
    assert 0 < fidelity.errors["label"] <= made.target.allowed
    held = stored(made.files.proto)
    deciding = [n for n in held if ".router." in n or n.startswith("label.output") or n.endswith("thresholds")]
    assert len(deciding) == 5 and {held[n] for n in deciding} == {"float32"}
    for n in deciding:
        assert array(initializers(made.files.proto)[n]).tobytes() == flagship.weights[n].tobytes()
    if name in ("int8", "u8s8", "s8s8", "int4"):
        assert len(made.chosen) == 44, "a layer of an expert, of a branch or of a second head was left out"
    assert [v.type for v in made.files.proto.graph.output] == [v.type for v in flagship.proto.graph.output]
    assert any("fresh" in note for note in fidelity.notes), "nobody trained it, and the report must say so"
    assert not any("tokens" in note for note in fidelity.notes), "each expert ran without tokens"


@pytest.mark.slow
def test_an_int8_file_with_a_changed_step_or_an_int8_router_is_found_by_the_structural_gate(flagship):
    made = lowered(flagship, "int8")
    proto = made.files.proto
    name = "joint.blocks.1.feed_forward.experts.1.down.weight_scale"
    wrong = with_arrays(proto, {name: array(initializers(proto)[name]) * np.float32(1.05)})
    with pytest.raises(Failure, match=r"experts\.1\.down\.weight is .* steps from the model's"):
        replace(made, files=replace(made.files, proto=wrong)).check()
    router = "joint.blocks.0.feed_forward.router.weight"
    wrong = rewritten(proto, [router], dynamic.write)
    with pytest.raises(Failure, match=r"router\.weight is held in int8, where float32 was asked for"):
        replace(made, files=replace(made.files, proto=wrong)).check()


@pytest.mark.slow
def test_a_file_that_answers_otherwise_loses_more_than_is_allowed(flagship):
    made = lowered(flagship, "int8")
    proto = onnx.ModelProto()
    proto.CopyFrom(made.files.proto)
    for graph in graphs(proto.graph):  # the second expert's integers are read by the first
        for node in graph.node:
            node.input[:] = [n.replace("experts.0.up.weight_q", "experts.1.up.weight_q") for n in node.input]
    with pytest.raises(
        Failure, match=r"fewer bits cost more than the target allows; nothing was written:\n  label: an error of"
    ):
        replace(made, files=replace(made.files, proto=proto), draft=replace(made.draft, target=read_target(
            TARGETS["int8"].replace("0.1", "0.02")))).prove()  # fmt: skip


@pytest.mark.slow
def test_an_expert_that_breaks_without_tokens_is_found_in_fewer_bits(flagship):
    spoilt = replace(flagship, proto=faults.needs_tokens(flagship.proto))
    with pytest.raises(
        Failure, match=r"cannot run the file in fewer bits, batch 1, the smallest, with experts that have no tokens"
    ):
        lowered(spoilt, "int8").prove()


@pytest.mark.slow
def test_a_calibration_that_misses_an_expert_names_it(flagship):
    router = flagship.module.get_submodule("joint.blocks.1.feed_forward.router")
    never = router.register_forward_hook(lambda m, a, scores: scores.index_fill(-1, torch.tensor([2]), -1e9))
    examples = [case.inputs for case in cases(flagship.contract, [7], 0)]
    layers = roles_of(flagship.module, flagship.graph).layers
    try:
        with pytest.raises(UserError, match=r"met the experts joint\.blocks\.1\.feed_forward\.experts\.2: the range"):
            ranges_of(flagship.module, layers, examples, "7 random inputs")
    finally:
        never.remove()
    assert set(ranges_of(flagship.module, layers, examples, "7 random inputs")) == set(layers)


@pytest.mark.slow
def test_static_int8_and_a_search_want_the_tasks_data(flagship):
    static = "device: cpu\nruntime: onnxruntime\nprecision: int8\nquantisation: {activations: static}"
    with pytest.raises(
        UserError, match="static int8 needs the task's data to calibrate on, and the weights are freshly"
    ):
        lowered(flagship, static)
    search = "device: cpu\nruntime: onnxruntime\nprecision: int8\nquantisation: {search: true}"
    with pytest.raises(UserError, match="search needs a model that was trained on data that judges it"):
        lowered(flagship, search)


@pytest.mark.parametrize(
    ("text", "told", "line"),
    [
        ("device: cpu\nruntime: onnxruntime\nprecision: bf16", "onnxruntime on a cpu does fp32, int8, int4, not bf16", 3),
        ("device: cpu\nruntime: openvino\nprecision: int4", "openvino on a cpu does fp32, bf16, int8, not int4", 3),
        ("device: cuda\nruntime: openvino\nprecision: fp32", "openvino runs here on: cpu, found device: cuda", 2),
        ("device: cpu\nruntime: onnxruntime\nprecision: fp32\nquantisation: {samples: 8}", "it is of int8, int4, found precision: fp32", 4),
        ("device: cpu\nruntime: onnxruntime\nprecision: int4\nquantisation: {activations: static}", "int4 is of weights alone", 4),
        ("device: cpu\nruntime: openvino\nprecision: int8\nquantisation: {activations: dynamic}", "openvino reads static activations", 4),
        ("device: cpu\nruntime: onnxruntime\nprecision: fp32\nloss: {metric: 0.1}", "fp32 loses nothing but rounding", 4),
        ("device: cpu\nruntime: onnxruntime\nprecision: fp32\nmeasure: {batches: [1, 512]}", "measure.batches has 512, and shapes.batch is 1 to 256", 1),
    ],
)  # fmt: skip
def test_what_a_runtime_cannot_do_is_told_at_its_line(text, told, line):
    with pytest.raises(SpecError) as caught:
        read_target(text, "target.yaml")
    assert told in str(caught.value) and (f"target.yaml:{line}:" in str(caught.value) or line == 1)


def test_onnxruntime_fuses_each_dynamic_layer_into_one_product(tmp_path):
    made = rewritten(linear()[0], ["layer.weight"], dynamic.write)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.optimized_model_filepath = 4, str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert [node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node] == ["DynamicQuantizeMatMul"]


def test_a_norm_that_is_nothing_divides_nothing_in_float16_as_in_float32():
    """x / max(||x||, 1e-12), of a text that is absent: float16 knows no 1e-12, and 0 / 0 would be no number."""
    least = numpy_helper.from_array(np.float32(1e-12))
    nodes = [
        helper.make_node("ReduceL2", ["x"], ["norm"], name="a", keepdims=1),
        helper.make_node("Constant", [], ["least"], name="b", value=least),
        helper.make_node("Max", ["norm", "least"], ["bounded"], name="c"),
        helper.make_node("Div", ["x", "bounded"], ["y"], name="d"),
    ]
    ends = [helper.make_tensor_value_info(n, 1, ["batch", 4]) for n in ("x", "y")]
    proto = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    for x in (np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)):
        assert np.abs(answer(half.lowered(proto, set()), x) - answer(proto, x)).max() <= 1e-3
