"""A package that is not what it says is told from one that is, whatever was done to it, by a process that nothing in it can harm."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import mmspec
from mmspec import openvino_runtime
from mmspec.cli.entry import run
from mmspec.deploy import read_target
from mmspec.deploy.contents import contents_of
from mmspec.deploy.file import FILE, array, initializers, with_arrays
from mmspec.deploy.precision.lowering import lowered_of
from mmspec.errors import Failure, UserError
from mmspec.packaged.answers import asked_of
from mmspec.packaged.judging import judge
from mmspec.packaged.manifest import manifest_of
from mmspec.packaged.reading import Unfit

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(package, tmp_path):
    """A copy of the flagship's package, to be spoilt."""
    return shutil.copytree(package.folder, tmp_path / "package")


def signed(folder):
    """The manifest written anew, as somebody would who wants the change to go unnoticed."""
    known = json.loads((folder / "manifest.json").read_text())
    facts = {name: known[name] for name in ("model", "runs", "provenance", "versions")}
    (folder / "manifest.json").write_text(json.dumps(manifest_of(folder, facts)))


def problems(folder):
    return judge(folder)["problems"]


def changed_json(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def changed_model(folder, change):
    file = onnx.load(folder / "onnx" / "model.onnx")
    change(file)
    (folder / "onnx" / "model.onnx").write_bytes(file.SerializeToString())


def test_a_good_package_is_what_it_says(package, capsys):
    found = mmspec.verify(package.folder)
    assert found.passed and len(found.checked) == 3 and found.identity
    assert 0 < max(found.errors.values()) <= 1e-5
    assert run(["verify", str(package.folder)]) == 0
    assert "it is what it says" in capsys.readouterr().out
    assert run(["verify", str(package.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def test_a_changed_byte_in_any_file_names_the_file(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            before = path.read_bytes()
            path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
            assert any(path.relative_to(folder).as_posix() in problem for problem in problems(folder)), path
            path.write_bytes(before)
    assert problems(folder) == []


def test_the_command_exits_1_and_says_what_is_wrong(folder, capsys):
    (folder / "model.py").write_text("import os")
    assert run(["verify", str(folder)]) == 1
    assert "model.py has 9 bytes" in capsys.readouterr().out
    with pytest.raises(UserError, match="is no folder"):
        mmspec.verify(folder / "model.py")


def a_link(folder):
    (folder / "spec.yaml").unlink()
    (folder / "spec.yaml").symlink_to("/etc/hostname")


def a_linked_folder(folder):
    (folder / "more").symlink_to("/etc")


def a_pipe(folder):
    os.mkfifo(folder / "pipe")


def a_file_more(folder):
    (folder / "onnx" / "helper.so").write_bytes(b"x")


def a_file_less(folder):
    (folder / "LICENSE").unlink()


def a_way_out(folder):
    changed_json(
        folder / "manifest.json", lambda r: r["files"].update({"../../etc/hostname": {"bytes": 1, "sha256": "0" * 64}})
    )


def an_absolute_path(folder):
    changed_json(
        folder / "manifest.json", lambda r: r["files"].update({"/etc/hostname": {"bytes": 1, "sha256": "0" * 64}})
    )


def a_negative_size(folder):
    changed_json(folder / "manifest.json", lambda r: r["files"]["spec.yaml"].update(bytes=-1))


def deep_json(folder):
    (folder / "manifest.json").write_text("[" * 100_000)


def endless_json(folder):
    with open(folder / "manifest.json", "wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (a_link, "spec.yaml is a link"),
        (a_linked_folder, "more is a link"),
        (a_pipe, "pipe is a device, pipe or socket"),
        (a_file_more, "onnx/helper.so is not in manifest.json"),
        (a_file_less, "LICENSE is missing"),
        (a_way_out, "no path inside of the package"),
        (an_absolute_path, "no path inside of the package"),
        (a_negative_size, "no bytes and sha256"),
        (deep_json, "manifest.json is not JSON"),
        (endless_json, "the most that is read"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_files_that_are_not_the_manifest_s_are_named(folder, spoil, words):
    spoil(folder)
    assert any(words in problem for problem in problems(folder)), problems(folder)


def another_weight(folder):
    def change(file):
        tensor = next(t for t in file.graph.initializer if t.name.endswith("experts.1.down.bias"))
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1e-3), tensor.name))

    changed_model(folder, change)


def another_threshold(folder):
    changed_json(folder / "contract.json", lambda r: r["thresholds"].update({"joint.blocks": [0.9]}))


def another_input(folder):
    changed_json(folder / "contract.json", lambda r: r["inputs"]["image"].update(dims=["batch", 3, 8, 8]))


def another_answer(folder):
    import safetensors.numpy

    arrays = safetensors.numpy.load_file(folder / "golden.safetensors")
    arrays["0.outputs.label"] = arrays["0.outputs.label"] + np.float32(1e-3)
    safetensors.numpy.save_file(arrays, folder / "golden.safetensors")


def no_model(folder):
    (folder / "onnx" / "model.onnx").write_bytes(b"\x08\x0a\xff\xff\xff" * 100)


def foreign_operators(folder):
    changed_model(folder, lambda file: file.opset_import.append(helper.make_opsetid("com.evil", 1)))


def weights_elsewhere(location):
    def spoil(folder):
        def change(file):
            tensor = file.graph.initializer[0]
            size = numpy_helper.to_array(tensor).nbytes
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in {"location": location, "offset": "0", "length": str(size)}.items():
                tensor.external_data.add(key=key, value=value)

        changed_model(folder, change)

    spoil.__name__ = f"weights_in_{location}"
    return spoil


def weights_cut(folder):
    (folder / "onnx" / "model.onnx.data").write_bytes(b"1234")
    weights_elsewhere("model.onnx.data")(folder)


def no_tolerance(folder):
    changed_json(folder / "contract.json", lambda r: r["outputs"]["label"].update(tolerance={"absolute": float("nan")}))


def another_precision(folder):
    changed_json(folder / "contract.json", lambda r: r.update(precision="fp3"))


def cut(name):
    def spoil(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:-4])

    spoil.__name__ = f"cut_{name}"
    return spoil


def without(name):
    def spoil(folder):
        (folder / name).unlink()

    spoil.__name__ = f"without_{name}"
    return spoil


def no_question(folder):
    import safetensors.numpy

    arrays = safetensors.numpy.load_file(folder / "golden.safetensors")
    del arrays["0.inputs.image"]
    safetensors.numpy.save_file(arrays, folder / "golden.safetensors")


def a_type_of_its_own(folder):
    changed_model(folder, lambda file: setattr(file.graph.initializer[0], "data_type", 99))


def elsewhere(folder):
    changed_json(folder / "manifest.json", lambda r: r.update(runs="spec.yaml"))


def another_runtime(folder):
    changed_json(folder / "contract.json", lambda r: r.update(runtime="abacus"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (another_runtime, "it is for 'abacus', which nothing here runs"),
        (another_weight, "experts.1.down.bias is not the model's, bit for bit, as it is in model.safetensors"),
        (another_threshold, "the thresholds of joint.blocks are not those of the contract"),
        (another_input, "and float32['batch', 3, 8, 8] in the contract"),
        (another_answer, "golden case 0: label is off by 0.001"),
        (no_model, "is no ONNX file"),
        (foreign_operators, "asks for operators of com.evil"),
        (weights_elsewhere("../spec.yaml"), "which is no file beside it"),
        (weights_elsewhere("/etc/hostname"), "which is no file beside it"),
        (weights_elsewhere("nowhere.data"), "which is no file beside it"),
        (weights_cut, "ends behind the end of onnx/model.onnx.data"),
        (elsewhere, "is no file of onnx/"),
        (no_tolerance, "contract.json does not say how far label may be off"),
        (another_precision, "says that it is in 'fp3', where fp32, bf16, fp16, int8, int4 are known"),
        (cut("contract.json"), "contract.json is not JSON"),
        (cut("model.safetensors"), "model.safetensors is no safetensors file"),
        (cut("golden.safetensors"), "golden.safetensors is no safetensors file"),
        (without("golden.safetensors"), "it has no golden.safetensors"),
        (no_question, "golden.safetensors lacks 0.inputs.image"),
        (a_type_of_its_own, "is of type 99, which ONNX does not have"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_package_that_was_signed_anew_is_still_looked_into(folder, spoil, words):
    spoil(folder)
    signed(folder)
    assert any(words in problem for problem in problems(folder)), problems(folder)


FEWER = {  # precision: its target, and the end of what a layer's weights are called in the file
    "fp16": ("device: cuda\nruntime: onnxruntime\nprecision: fp16", ""),
    "bf16": ("device: cpu\nruntime: openvino\nprecision: bf16", ""),
    "int8": ("device: cpu\nruntime: onnxruntime\nprecision: int8", "_quantized"),
    "int8, static": (
        "device: cpu\nruntime: onnxruntime\nprecision: int8\nquantisation: {activations: static, examples: random}",
        "_quantized",
    ),
    "int4": ("device: cpu\nruntime: onnxruntime\nprecision: int4", "_blocks"),
}


def in_fewer_bits(draft, text, folder):
    """The package's files as those of another target; what was made for it."""
    draft = replace(draft, target=read_target(text))
    lowered = lowered_of(draft, lambda step: nullcontext())
    written = {FILE: lowered.files.proto.SerializeToString()}
    for name, data in contents_of(draft, written, lowered).items():
        (folder / name).write_bytes(data)
    signed(folder)
    return lowered


@pytest.mark.parametrize("precision", FEWER)
def test_one_weight_that_is_another_is_found_in_every_precision(precision, flagship, folder):
    text, end = FEWER[precision]
    in_fewer_bits(flagship, text, folder)
    assert problems(folder) == []

    def nudge(file):  # the last bit of one number
        held = {tensor.name: tensor for tensor in file.graph.initializer}
        tensor = held[f"joint.blocks.0.feed_forward.experts.1.down.weight{end}"]
        array = numpy_helper.to_array(tensor).copy()
        array.view(np.uint8).flat[0] ^= 1
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    changed_model(folder, nudge)
    signed(folder)
    (problem,) = problems(folder)
    assert "experts.1.down.weight" in problem and "model's" in problem and "in model.safetensors" in problem


def test_a_range_that_is_another_than_the_calibrated_one_is_found_at_its_layer(flagship, folder):
    lowered = in_fewer_bits(flagship, FEWER["int8, static"][0], folder)
    layer = "joint.blocks.1.feed_forward.experts.1.down"  # which no golden sample gets to: all leave before
    name, words = f"{layer}.input_scale", f"what {layer} reads becomes integers in steps of"
    step = array(initializers(lowered.files.proto)[name])

    def with_step(step):
        proto = with_arrays(lowered.files.proto, {name: step})
        (folder / "onnx" / "model.onnx").write_bytes(proto.SerializeToString())
        signed(folder)
        return replace(lowered, files=replace(lowered.files, proto=proto))

    for longer in (np.nextafter(step, np.float32(1)), 4 * step):
        made = with_step(longer)
        with pytest.raises(Failure, match=words):
            made.check()
        (problem,) = problems(folder)
        assert words in problem and problem.endswith("as contract.json has it")

    for said, told in (
        ([4 * end for end in lowered.spans[layer]], []),
        ([0.0], ["contract.json has no ranges by name, each of a least and a largest number"]),
    ):
        changed_json(folder / "contract.json", lambda r, said=said: r["ranges"].update({layer: said}))
        signed(folder)
        assert problems(folder) == told
    changed_json(folder / "contract.json", lambda r: r.pop("ranges"))
    signed(folder)
    assert len(problems(folder)) == 32 and "by a range that nobody found" in problems(folder)[0]


def test_golden_answers_are_asked_of_the_runtime_that_a_package_is_for(folder):
    pytest.importorskip("openvino")
    assert "golden answers of ONNX Runtime" in mmspec.verify(folder).checked[-1]
    changed_json(folder / "contract.json", lambda r: r.update(runtime="openvino"))
    signed(folder)
    found = mmspec.verify(folder)
    assert found.passed and "golden answers of OpenVINO" in found.checked[-1] and "in f32" in found.checked[-1]


def test_a_runtime_that_is_not_there_is_not_stood_in_for_by_another(monkeypatch):
    monkeypatch.setattr(openvino_runtime, "installed", lambda: False)
    with pytest.raises(Unfit, match="are those of OpenVINO, which is not installed here: pip install openvino"):
        asked_of("openvino", "bf16")


def forever():
    """A loop of more steps than there are nanoseconds since the beginning of the world."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["x", "x"], ["y"])],
        "body",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in (("i", 7, []), ("go", 9, []), ("x", 1, None))],
        [helper.make_tensor_value_info(n, t, s) for n, t, s in (("on", 9, []), ("y", 1, None))],
    )
    return [
        helper.make_node("Constant", [], ["steps"], value=numpy_helper.from_array(np.array(1 << 60))),
        helper.make_node("ReduceSum", ["image"], ["start"], keepdims=0),
        helper.make_node("Loop", ["steps", "", "start"], ["end"], body=body),
    ]


def too_much():
    """A terabyte of zeros."""
    return [
        helper.make_node("Constant", [], ["size"], value=numpy_helper.from_array(np.array([1 << 38]))),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["end"], keepdims=0),
    ]


@pytest.mark.parametrize(("nodes", "words"), [(forever, "it was not read within"), (too_much, "alloc")])
def test_a_file_that_takes_the_machine_is_stopped(folder, nodes, words):
    def change(file):
        file.graph.node.extend(nodes())
        label = next(node for node in file.graph.node if "label" in node.output)
        label.output[list(label.output).index("label")] = "label_before"
        file.graph.node.append(helper.make_node("Add", ["label_before", "end"], ["label"]))

    changed_model(folder, change)
    signed(folder)
    found = mmspec.verify(folder, memory=3 << 30, seconds=2)
    assert any(words in problem for problem in found.problems), found.problems


def test_code_in_a_package_is_not_run_even_if_the_command_is_typed_inside_of_it(folder):
    for name in ("onnx/__init__.py", "numpy.py", "json.py"):
        (folder / name).write_text("open('/dev/stderr', 'w').write('RUN')")
    command = "import sys; from mmspec.cli.entry import run; assert run(['verify', '.']) == 1; assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-P", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "RUN" not in done.stderr and "onnx/__init__.py is not in manifest.json" in done.stdout
