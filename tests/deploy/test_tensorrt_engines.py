"""The way to an engine, as far as it goes without TensorRT: plan, shapes and scripts; and that nothing pretends to more."""

import ast
import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import small_exports as small
import torch

import mmspec
from mmspec import shipped
from mmspec.deploy import load_target, read_target
from mmspec.deploy.beside import additions, foreseen
from mmspec.deploy.cases import plain_case
from mmspec.deploy.contract import Range
from mmspec.deploy.tensorrt import build, engine
from mmspec.deploy.tensorrt.building import why_not
from mmspec.deploy.tensorrt.options import Optimum
from mmspec.deploy.tensorrt.profiles import profile
from mmspec.host import session
from mmspec.spec import SpecError

HERE = find_spec("tensorrt") is None
TARGETS = ("tensorrt_10", "tensorrt_11")
KINDS = {1: np.float32, 7: np.int64, 9: np.bool_}


def quiet(_step):
    return nullcontext()


@pytest.fixture(scope="module")
def package(staged, tmp_path_factory):
    """What is written for stages, with their files where a package has them."""
    folder = tmp_path_factory.mktemp("package")
    draft = replace(staged, target=load_target("tensorrt_10"))
    placed = {name: f"onnx/{name}" for name in draft.files.protos}
    (addition,) = additions(draft, None, foreseen(draft, draft.files, quiet), placed, quiet, print)
    for path, content in addition.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    for name, proto in draft.files.protos.items():
        (folder / "onnx").mkdir(exist_ok=True)
        (folder / "onnx" / name).write_bytes(proto.SerializeToString())
    return folder, addition


@pytest.mark.slow
def test_each_stage_runs_with_the_ends_of_the_shapes_that_its_engine_is_built_for(staged, package):
    folder, _ = package
    plan = json.loads((folder / "tensorrt" / "plan.json").read_text())
    assert plan["tensorrt"] == "10.3" and plan["workspace_mib"] == 2048
    assert set(plan["engines"]) == {f"../onnx/{name}" for name in staged.files.protos}
    limit = staged.contract.batch_limit
    for path, each in plan["engines"].items():
        file = folder / "tensorrt" / path
        assert each["engine"] == f"../tensorrt/{file.stem}.plan"
        proto = staged.files.protos[file.name]
        run = session(str(file), threads=1)
        assert list(each["profile"]) == [value.name for value in proto.graph.input]
        for end, batch in (("min", 1), ("opt", 1), ("max", limit)):
            kinds = {value.name: KINDS[value.type.tensor_type.elem_type] for value in proto.graph.input}
            given = {name: np.ones(shapes[end], kinds[name]) for name, shapes in each["profile"].items()}
            assert all(len(array) == batch for array in run(given).values())


@pytest.mark.slow
def test_the_loader_finds_engines_plan_and_host(staged, package):
    """With ONNX Runtime in the engines' place, and the files where build.py would put them."""
    folder, _ = package
    placed = []
    for path, each in json.loads((folder / "tensorrt" / "plan.json").read_text())["engines"].items():
        placed.append(folder / "tensorrt" / each["engine"])
        placed[-1].write_bytes((folder / "tensorrt" / path).read_bytes())
    for name, content in staged.accessories.items():
        (folder / "onnx" / name).write_bytes(content)
    model = engine.load(folder / "tensorrt", lambda content: session(content, threads=1))
    given = [value.numpy() for value in plain_case(staged.contract, 5, seed=0).inputs]
    found = model(dict(zip(staged.files.inputs, given, strict=True)))
    wanted = staged.module(*map(torch.from_numpy, given))
    assert list(found) == list(wanted)
    assert all(np.abs(found[name] - value.numpy()).max() <= 1e-5 for name, value in wanted.items())
    for path in placed:
        path.unlink()


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="there is a TensorRT")
def test_the_script_says_that_there_is_no_tensorrt_and_writes_nothing(package):
    folder, addition = package
    before = sorted(folder.rglob("*"))
    ran = subprocess.run([sys.executable, "-B", "-I", "tensorrt/build.py"], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 1 and ran.stderr.strip() == "this needs tensorrt, with the GPU that the engines are for"
    assert sorted(folder.rglob("*")) == before
    assert addition.facts["engines"].startswith("not built here: no TensorRT")
    assert any("not built here: no TensorRT" in word for word in addition.words)
    assert not [path for path in addition.files if path.endswith((".plan", ".cache"))]


@pytest.mark.slow
def test_an_export_without_tensorrt_does_everything_up_to_the_engine(tmp_path):
    """Nobody leaves this model: it is one file, though the target asks for stages."""
    spec = small.spec({"joint": small.FUSIONS["concat"] + ", depth: 1"}, {"label": "from: joint"})
    text = Path(shipped.find("export", "tensorrt_11")).read_text() + "serving: {triton: {}}\n"
    report = mmspec.export(spec, read_target(text), tmp_path / "package")
    assert report.path.name == "model.onnx" and report.max_error <= 1e-5
    facts = json.loads((report.folder / "verification.json").read_text())
    assert facts["tensorrt"]["version"] == "11.1" and facts["tensorrt"]["cautions"] == []
    assert facts["triton"] == {"models": ["small"], "checked_by_protobuf": True}
    page = (report.folder / "verification.html").read_text()
    assert "<h2>TensorRT</h2>" in page and ("not built here" in page) == bool(why_not("11.1"))
    assert "<h2>Triton</h2>" in page and "was run by onnxruntime" in page
    assert json.loads((report.folder / "contract.json").read_text())["form"] == "conditions"
    assert (report.folder / "tensorrt/build.py").exists() and (report.folder / "triton/small/warmup/image").exists()


@pytest.mark.slow
def test_engines_for_triton_lie_where_triton_looks_for_them(flagship):
    text = "device: cuda\nruntime: tensorrt\nprecision: fp32\ntensorrt: {version: '11.1'}\nserving: {triton: {}}\n"
    draft = replace(flagship, target=read_target(text))
    engines, repository = additions(draft, None, (), {"model.onnx": "onnx/model.onnx"}, quiet, print)
    plan = json.loads(engines.files["tensorrt/plan.json"])
    assert plan["engines"]["../onnx/model.onnx"]["engine"] == "../triton/small/1/model.plan"
    assert b'backend: "tensorrt"' in repository.files["triton/small/config.pbtxt"]
    assert b"KIND_GPU" in repository.files["triton/small/config.pbtxt"]
    assert "triton/small/1/model.onnx" not in repository.files


@pytest.mark.parametrize("script", [build, engine], ids=["build", "engine"])
def test_a_script_imports_nothing_of_mmspec(script):
    """They are copied as they are, to machines that have no mmspec."""
    tree = ast.parse(Path(script.__file__).read_text())
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    known = {"__future__", "json", "logging", "os", "sys", "collections.abc", "importlib.util", "pathlib", "typing"}
    assert imported - known <= {"tensorrt", "numpy", "torch"}


def test_sums_of_sizes_have_their_sums_as_ends():
    import onnx

    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> g (float["batch", "text_length + 4", 8] x, bool[3] y) => (float[3] z) { z = Relu(x) }'.replace(
            '"batch"', "batch"
        ).replace('"text_length + 4"', "n")
    )
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "text_length + 4"
    dims = {"batch": Range(1, 32, 2), "text_length": Range(2, 60, 5)}
    assert profile(proto, dims, Optimum(batch=64, length=16)) == {
        "x": {"min": [1, 6, 8], "opt": [32, 20, 8], "max": [32, 64, 8]},
        "y": {"min": [3], "opt": [3], "max": [3]},
    }
    assert profile(proto, dims, Optimum())["x"]["opt"] == [1, 64, 8]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    build.write(tmp_path / "a" / "model.plan", b"engine")

    def full(_descriptor):
        raise OSError("no space")

    monkeypatch.setattr(build.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        build.write(tmp_path / "a" / "model.plan", b"other")
    assert (tmp_path / "a" / "model.plan").read_bytes() == b"engine"


BASE = "device: cuda\nruntime: tensorrt\nprecision: fp32\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (BASE, 1, r"needs to know which: tensorrt: \{version"),
        (BASE + 'tensorrt: {version: "8.6"}\n', 4, r"8\.6 is outside of 10\.0 to 11\.1"),
        (BASE + 'tensorrt: {version: "ten"}\n', 4, "two numbers"),
        (BASE + 'tensorrt: {version: "10.3", optimum: {batches: 4}}\n', 4, "did you mean 'batch'"),
        (
            BASE.replace("cuda", "cpu") + 'tensorrt: {version: "10.3"}\n',
            2,
            "tensorrt runs here on: cuda, found device: cpu",
        ),
        (BASE.replace("fp32", "bf16") + 'tensorrt: {version: "10.3"}\n', 3, "tensorrt on a cuda does .*not bf16"),
        (
            BASE.replace("cuda", "cpu").replace("runtime: tensorrt", "runtime: onnxruntime")
            + 'tensorrt: {version: "10.3"}\n',
            4,
            "read where it is the runtime",
        ),
    ],
)
def test_a_target_that_makes_no_sense_is_located(text, line, words):
    with pytest.raises(SpecError, match=words) as caught:
        read_target(text)
    assert caught.value.diagnostics[0].position.line == line


@pytest.mark.parametrize("name", TARGETS)
def test_the_shipped_targets_are_for_versions_whose_documents_are_known(name):
    target = load_target(name)
    assert target.exits == "stages" and target.tensorrt.version in ("10.3", "11.1")
