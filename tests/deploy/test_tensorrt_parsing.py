"""What the documents of TensorRT's ONNX parser rule out is found, in sub-graphs too, at the spec's line; what they allow is not.

Sources   onnx-tensorrt docs/operators.md of 10.1, 10.14 and 11.1; TensorRT CHANGELOG.md
"""

import itertools
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import onnx
import pytest
import small_exports as small
from onnx import helper, numpy_helper

from mmspec.deploy import read_target
from mmspec.deploy.contract import Range
from mmspec.deploy.file import operators as operators_in
from mmspec.deploy.places import place
from mmspec.deploy.precision.lowering import lowered_of
from mmspec.deploy.tensorrt.operators import FIRST, LAST, operators, opsets, taken_since, version_of
from mmspec.deploy.tensorrt.parsing import check_parsing, findings
from mmspec.spec import SpecError

DIMS = {"batch": Range(1, 8, 2), "n": Range(1, 6, 5)}
SPEC = small.flagship()

BROKEN = [  # version, graph, words of the finding
    (
        "10.3",
        "(int64[batch] x) => (int64[batch] y) <int64 a = {0}> { y = Clip(x, a) }",
        "takes FP32, FP16, BF16, and this is INT64",
    ),
    ("10.3", "(bool[batch] x) => (int64[1, k] y) { y = NonZero(x) }", "takes FP32, FP16, and this is BOOL"),
    ("11.1", "(int64[batch] x) => (int64[1, k] y) { y = NonZero(x) }", "takes FP32, FP16, and this is INT64"),
    ("10.3", "(int64[batch, n] x) => (int64[batch, n] y) <int64 a = {1}> { y = CumSum(x, a) }", "and this is INT64"),
    (
        "10.3",
        "(float[batch, n] x, int64 a) => (float[batch, n] y) { y = CumSum(x, a) }",
        "axis is known when the engine is built",
    ),
    (
        "10.3",
        "(float[batch, 5000] x) => (float[batch, 3840] y, int64[batch, 3840] i) <int64[1] k = {3840}> { y, i = TopK(x, k) }",
        "K is less than 3840",
    ),
    (
        "10.3",
        "(float[batch, 9] x) => (float[batch, 2] y, int64[batch, 2] i) <int64[1] k = {2}> { y, i = TopK<sorted = 0>(x, k) }",
        "sorted is 1",
    ),
    (
        "10.3",
        '(float[9] x, int64[2, 1] i, float[2] u) => (float[9] y) { y = ScatterND<reduction = "none">(x, i, u) }',
        "no attribute reduction",
    ),
    (
        "11.1",
        '(float[9] x, int64[2, 1] i, float[2] u) => (float[9] y) { y = ScatterND<reduction = "add">(x, i, u) }',
        "reduction is none",
    ),
    (
        "10.3",
        "(float[4, 4] x) => (uint8[4, 4] y, float s, uint8 z) { y, s, z = DynamicQuantizeLinear(x) }",
        "does not take DynamicQuantizeLinear",
    ),
    (
        "11.1",
        "(int8[4, 4] a, int8[4, 4] b) => (int32[4, 4] y) { y = MatMulInteger(a, b) }",
        "does not take MatMulInteger",
    ),
    (
        "10.3",
        "(float[4] x) => (int8[4] y) <float s = {0.5}, int8 z = {3}> { y = QuantizeLinear(x, s, z) }",
        "the zero point is 0",
    ),
    (
        "10.3",
        "(float[4] x) => (float[4] y) <float s = {0.5}, uint8 z = {0}> { q = QuantizeLinear(x, s, z)  y = DequantizeLinear(q, s, z) }",
        "takes INT8, FP8, INT4, and this is UINT8",
    ),
    ("10.3", "(float[4] x) => (float[4] y) { y = com.microsoft.FastGelu(x) }", "not those of com.microsoft"),
    ("10.3", "(float[m] x) => (float[m] y) { y = Relu(x) }", "its dimension m has no least and greatest size"),
    (
        "10.3",
        "(float[4, 8] x, float[8] w) => (float[4, 8] y, float[4, 1] m) { y, m = LayerNormalization(x, w) }",
        "only its first output is read",
    ),
    (
        "10.3",
        "(bool c, float[4] x) => (float y) { y = If(c) <"
        "then_branch = t () => (float[4] a) { a = Relu(x) }, else_branch = e () => (float[1, 4] b) "
        "{ one = Constant<value_ints = [0]>()  b = Unsqueeze(x, one) }> }",
        "its branches give has the same rank",
    ),
    (
        "10.3",
        "(bool c, bool[batch] x) => (int64[1, k] y) { y = If(c) <"
        "then_branch = t () => (int64[1, k] a) { a = NonZero(x) }, else_branch = e () => (int64[1, k] b) { b = NonZero(x) }> }",
        "takes FP32, FP16, and this is BOOL",
    ),
    (
        "10.3",
        "(int64 n, bool c, float[1] x) => (float[l] y) { y = Loop(n, c, x) <body = b (int64 i, bool go, float[1] h) => "
        "(bool on, float[2] g) { on = Identity(go)  g = Concat<axis = 0>(h, h) }> }",
        "what it carries has the same shape in every step",
    ),
]

KEPT = [
    ("10.3", "(int64[batch] x) => (int64[batch] y) <int64 a = {0}> { y = Max(x, a) }"),
    ("10.3", "(bool[batch] x) => (int64[1, k] y) { f = Cast<to = 1>(x)  y = NonZero(f) }"),
    ("10.3", "(float[batch, n] x) => (float[batch, n] y) <int64 a = {1}> { y = CumSum(x, a) }"),
    (
        "10.3",
        "(float[batch, 5000] x) => (float[batch, 3839] y, int64[batch, 3839] i) <int64[1] k = {3839}> { y, i = TopK(x, k) }",
    ),
    ("10.9", '(float[9] x, int64[2, 1] i, float[2] u) => (float[9] y) { y = ScatterND<reduction = "none">(x, i, u) }'),
    (
        "10.3",
        "(float[4] x) => (float[4] y) <float s = {0.5}, int8 z = {0}> { q = QuantizeLinear(x, s, z)  y = DequantizeLinear(q, s, z) }",
    ),
    (
        "10.3",
        "(bool c, float[4] x) => (float[4] y) { y = If(c) <"
        "then_branch = t () => (float[4] a) { a = Relu(x) }, else_branch = e () => (float[4] b) { b = Neg(x) }> }",
    ),
    (
        "10.3",
        "(int64 n, bool c, float[2] x) => (float[2] y) { y = Loop(n, c, x) <body = b (int64 i, bool go, float[2] h) => "
        "(bool on, float[2] g) { on = Identity(go)  g = Relu(h) }> }",
    ),
]


def file(graph, opset=20):
    imports = f'["" : {opset}, "com.microsoft" : 1]' if "com.microsoft" in graph else f'["" : {opset}]'
    proto = onnx.parser.parse_model(f"<ir_version: 10, opset_import: {imports}> g {graph}")
    for i, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    return proto


def found(proto, version):
    return findings({"model.onnx": proto}, DIMS, (), SPEC, version_of(version))


@pytest.mark.parametrize(("version", "graph", "words"), BROKEN, ids=[words for _, _, words in BROKEN])
def test_what_the_documents_rule_out_is_found_once(version, graph, words):
    blocking = [finding for finding in found(file(graph), version) if finding.blocking]
    assert [words in finding.rule for finding in blocking] == [True], blocking
    assert blocking[0].source


@pytest.mark.parametrize(("version", "graph"), KEPT)
def test_what_they_allow_is_not(version, graph):
    assert not [finding for finding in found(file(graph), version) if finding.blocking]


def test_the_same_file_is_judged_by_the_version():
    """Attention came with 10.14, and with it opset 24; ScatterND's attribute with 10.9."""
    heads = "(float[2, 4, n, 8] q, float[2, 4, n, 8] k, float[2, 4, n, 8] v) => (float[2, 4, n, 8] y) { y = Attention(q, k, v) }"
    assert [f.operator for f in found(file(heads, 23), "10.13")] == ["opset", "Attention"]
    assert "10.14 is the first that does" in found(file(heads, 23), "10.13")[1].rule
    assert found(file(heads, 23), "10.14") == ()
    flat = heads.replace("2, 4, n, 8", "2, n, 32").replace("Attention", "Attention<q_num_heads = 4, kv_num_heads = 4>")
    assert "four dimensions" in found(file(flat, 23), "11.1")[0].rule


def test_what_only_shows_when_the_file_runs_is_a_caution():
    dynamic = "(float[batch, n] x, int64[1] k) => (float[batch, m] y, int64[batch, m] i) { y, i = TopK(x, k) }"
    (caution,) = found(file(dynamic), "10.3")
    assert not caution.blocking and "cannot be seen" in caution.rule
    (caution,) = found(file("(double[4] x) => (double[4] y) { y = Relu(x) }"), "10.3")
    assert not caution.blocking and "FP32" in caution.rule


def test_a_weight_of_many_numbers_is_a_constant_that_is_not_read():
    weight = numpy_helper.from_array(np.zeros((300, 300), np.float32), "w")
    proto = file("(float[batch, 300] x) => (float[batch, 300] y) { y = MatMul(x, w) }")
    proto.graph.initializer.append(weight)
    assert found(proto, "10.3") == () and len(proto.graph.initializer[0].raw_data) == 360_000


def test_a_version_takes_what_the_one_before_it_took():
    versions = [(10, minor) for minor in range(17)] + [(11, 0), (11, 1)]
    for earlier, later in itertools.pairwise(versions):
        before, after = operators(earlier), operators(later)
        assert before.keys() <= after.keys() and opsets(earlier).stop <= opsets(later).stop
        assert all(before[name].types <= after[name].types for name in before)
    assert (versions[0], versions[-1]) == (FIRST, LAST)
    assert taken_since("Attention") == (10, 14) and taken_since("Unique") is None


def test_every_operator_of_the_table_is_one_of_onnx_and_its_types_are_too():
    schemas = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
    assert set(operators(LAST)) <= schemas, set(operators(LAST)) - schemas


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("joint.blocks.0.feed_forward.router.weight", "fusion.joint.router"),
        ("joint.blocks.1.feed_forward.experts.2.up.weight", "fusion.joint.router"),
        ("joint.blocks.thresholds", "fusion.joint.halting"),
        ("image.patches.weight", "encoders.image"),
        ("image.blocks.0.attention.query.bias", "encoders.image.attention"),
        ("image.position", "encoders.image.position"),
        ("text_mask", "inputs.text"),
        ("label.output.bias", "heads.label"),
        ("nobody.weight", ""),
    ],
)
def test_a_weight_leads_to_its_place_in_the_spec(name, path):
    assert place(name, SPEC) == path


@pytest.mark.slow
def test_exits_as_conditions_are_refused_at_the_line_of_the_halting(flagship):
    """The compaction inside of the branch counts true booleans: NonZero, of a type that the parser does not take."""
    with pytest.raises(SpecError) as caught:
        check_parsing(flagship.files.protos, flagship.contract.dims, flagship.weights, flagship.subject.spec, (10, 3))
    (error,) = caught.value.diagnostics
    assert "NonZero in model.onnx" in error.message and "this is BOOL" in error.message
    assert error.position.line == 9 and "halting: {type: confidence" in str(error)
    assert error.notes == ("with exits: stages in the target there is no If", "source: onnx-tensorrt docs/operators.md")


@pytest.mark.slow
def test_stages_with_experts_hold_nothing_that_any_version_refuses(staged):
    for version in (FIRST, (10, 3), LAST):
        spec, dims = staged.subject.spec, staged.contract.dims
        assert findings(staged.files.protos, dims, staged.weights, spec, version) == ()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_stages_in_fewer_bits_hold_nothing_that_it_refuses_either(staged, precision):
    text = f"device: cuda\nruntime: tensorrt\nprecision: {precision}\nexits: stages\ntensorrt: {{version: '11.1'}}\n"
    target = read_target(text + ("quantisation: {examples: random}\n" if precision == "int8" else ""))
    files = lowered_of(replace(staged, target=target), lambda step: nullcontext()).files
    used = set().union(*(operators_in(proto) for proto in files.protos.values()))
    assert ("QuantizeLinear" in used) == (precision == "int8")
    spec, dims = staged.subject.spec, staged.contract.dims
    assert findings(files.protos, dims, staged.weights, spec, LAST) == ()


@pytest.mark.slow
def test_a_fault_put_into_a_stage_is_found_and_lies_in_the_router(staged):
    """The router's NonZero asked of booleans, as torch writes it unless it is told otherwise."""
    proto = onnx.ModelProto()
    proto.CopyFrom(staged.files.protos["exit_0.onnx"])
    count = next(node for node in proto.graph.node if node.op_type == "NonZero")
    cast = next(node for node in proto.graph.node if node.output[0] == count.input[0])
    count.input[0] = cast.input[0]
    (finding,) = findings({"exit_0.onnx": proto}, staged.contract.dims, staged.weights, staged.subject.spec, (10, 3))
    assert finding.blocking and finding.path == "fusion.joint.router" and finding.node == count.name


def test_a_finding_in_a_loop_within_a_branch_is_found():
    inner = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"], name="keep"),
            helper.make_node("Unique", ["h"], ["g"], name="deep"),
        ],
        "body",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in (("i", 7, []), ("go", 9, []), ("h", 1, [4]))],
        [helper.make_tensor_value_info("on", 9, []), helper.make_tensor_value_info("g", 1, [4])],
    )
    loop = helper.make_node("Loop", ["n", "c", "x"], ["l"], body=inner, name="loop")
    then = helper.make_graph([loop], "then", [], [helper.make_tensor_value_info("l", 1, [4])])
    other = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"], name="relu")], "else", [], [helper.make_tensor_value_info("r", 1, [4])]
    )
    choice = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other, name="choice")
    ends = [helper.make_tensor_value_info(n, t, s) for n, t, s in (("n", 7, []), ("c", 9, []), ("x", 1, [4]))]
    graph = helper.make_graph([choice], "g", ends, [helper.make_tensor_value_info("y", 1, [4])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    assert [finding.node for finding in found(proto, "10.3") if finding.blocking] == ["deep"]
