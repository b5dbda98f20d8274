"""What lies in the package, and that it is the same whoever makes it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import mmspec
from mmspec.deploy import draft as trial
from mmspec.deploy import external as parts
from mmspec.deploy import package as run
from mmspec.deploy.contents import write_package
from mmspec.deploy.file import array, initializers
from mmspec.deploy.package import report_of
from mmspec.deploy.page import render
from mmspec.deploy.report import sha256
from mmspec.errors import Failure

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


def session(report):
    return onnxruntime.InferenceSession(str(report.path), providers=["CPUExecutionProvider"])


def test_the_package_holds_the_file_its_spec_its_contract_and_its_proof(package, flagship):
    files = {str(p.relative_to(package.folder)) for p in package.folder.rglob("*") if p.is_file()}
    assert files == {
        ".mmspec", "manifest.json", "spec.yaml", "model.py", "model.safetensors", "LICENSE", "onnx/model.onnx", "contract.json",
        "golden.safetensors", "verification.json", "verification.html", "data/preprocessing.json",
    }  # fmt: skip
    proof = json.loads((package.folder / "verification.json").read_text())
    assert proof["passed"] and proof["file"]["sha256"] == sha256(package.path.read_bytes())
    assert proof["parity"]["max_abs_error"]["label"] == package.parity.max_error["label"] <= 1e-4
    assert mmspec.load(package.folder / "spec.yaml").to_yaml() == flagship.subject.spec.to_yaml()
    assert proof["model"]["trained"] is False and "untrained" in proof["model"]["weights"]


def test_the_page_says_what_was_compared_and_that_the_weights_are_fresh(package):
    page = (package.folder / "verification.html").read_text()
    assert "freshly initialised, untrained (seed 0)" in page and "nobody has measured" in page
    assert page.count("<tr>") >= len(package.parity.compared)
    assert f"{package.max_error:.2g}" in page and package.file["sha256"] in page


def test_the_contract_is_what_the_runtime_finds_in_the_file(package):
    contract = json.loads((package.folder / "contract.json").read_text())
    found = session(package)
    for kind, values in (("inputs", found.get_inputs()), ("outputs", found.get_outputs())):
        assert {value.name: value.shape for value in values} == {n: p["dims"] for n, p in contract[kind].items()}
    assert contract["inputs"]["text_mask"]["dtype"] == "bool" and "absent" in contract["inputs"]["text_mask"]["meaning"]
    assert contract["dims"] == {"batch": {"min": 1, "max": 256}, "text_length": {"min": 1, "max": 6}}
    assert list(contract["outputs"]) == ["label", "mood", "label.exit"]
    assert contract["inputs"]["image"]["preprocessing"] == {"type": "image", "mean": 0.5}
    assert contract["inputs"]["text"]["mask"] == "text_mask"
    assert contract["outputs"]["label"]["tolerance"] == {"absolute": 1e-5, "relative": 1e-4}
    assert contract["outputs"]["label.exit"]["tolerance"] == {"absolute": 0, "relative": 0}
    assert contract["thresholds"] == {"joint.blocks": [float(np.float32(0.4))]}


def test_every_parameter_has_our_name_in_the_file_and_nothing_of_this_machine_is_in_it(package, flagship):
    held = initializers(onnx.load(package.path))
    assert set(flagship.subject.state) <= set(held) and "joint.blocks.thresholds" in held
    assert max(np.prod(held[name].dims) for name in held.keys() - flagship.weights.keys()) <= 8
    content = package.path.read_bytes()
    assert not [word for word in (b".py", b"stack_trace", str(HERE.parents[1]).encode()) if word in content]


def test_an_absent_text_gives_the_same_numbers_whatever_its_ids_are(package, flagship):
    image = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    absent = np.zeros((3, 4), bool)
    one, other = (
        session(package).run(None, {"image": image, "text": np.full((3, 4), ids), "text_mask": absent})
        for ids in (0, 7)
    )
    assert all((a == b).all() for a, b in zip(one, other, strict=True))
    told = flagship.module(torch.from_numpy(image), torch.full((3, 4), 7), torch.from_numpy(absent))
    assert np.abs(one[0] - told["label"].numpy()).max() <= 1e-5


def test_a_threshold_that_is_changed_in_the_file_moves_the_exits(package):
    file = onnx.load(package.path)
    thresholds = initializers(file)["joint.blocks.thresholds"]
    assert array(thresholds).tolist() == [np.float32(0.4)]
    rng = np.random.default_rng(0)
    feed = {"image": rng.standard_normal((5, 1, 8, 8)).astype(np.float32), "text": np.ones((5, 3), np.int64)}
    exits = []
    for value in (-1.0, 1.0):
        thresholds.CopyFrom(onnx.numpy_helper.from_array(np.array([value], np.float32), thresholds.name))
        runtime = onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
        exits.append(runtime.run(["label.exit"], feed | {"text_mask": np.ones((5, 3), bool)})[0].tolist())
    assert exits == [[0] * 5, [1] * 5]


def test_another_process_writes_the_same_bytes(flagship):
    """Hashes of names differ from process to process; nothing in the file may depend on them."""
    code = "import hashlib, small_exports as small; print(hashlib.sha256(small.draft(small.flagship()).proto.SerializeToString(deterministic=True)).hexdigest())"
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": paths}
    again = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert again.stdout.strip() == sha256(flagship.proto.SerializeToString(deterministic=True))


def test_an_export_that_fails_leaves_the_old_package_as_it_was(package, flagship, monkeypatch):
    before = {path: path.read_bytes() for path in package.folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(run, "draft_of", lambda *args: flagship)

    def refuse(*args):
        raise Failure("the exported file does not compute the model; nothing was written.")

    monkeypatch.setattr(trial, "check_parity", refuse)
    with pytest.raises(Failure, match="nothing was written"):
        mmspec.export(flagship.subject.spec, "edge_cpu_fp32", package.folder)
    assert {path: path.read_bytes() for path in package.folder.rglob("*") if path.is_file()} == before
    assert not [path for path in package.folder.parent.iterdir() if path != package.folder], "something was left behind"


def test_weights_of_a_trained_folder_are_told_with_what_training_measured(flagship, tmp_path):
    subject = replace(flagship.subject, origin="trained", metrics={"validation": {"accuracy": 0.9375}})
    draft = replace(flagship, subject=subject)
    report, _ = report_of(draft, (), draft.prove(), tmp_path, {})
    assert report.trained and report.to_dict()["model"]["accuracy"] == 0.9375
    assert "trained, validation accuracy 0.938" in render(report)


@pytest.mark.parametrize("beside", ["asked for", "too large"])
def test_weights_beside_the_file_are_the_same_model(flagship, tmp_path, monkeypatch, beside):
    """The limit of 2 GB is lowered to 20 kB in place of a model that has them."""
    monkeypatch.setattr(parts, "SMALL", 64)
    weights = "beside" if beside == "asked for" else "inside"
    if beside == "too large":
        monkeypatch.setattr(parts, "LARGEST", 20_000)
    target = flagship.target.model_copy(update={"weights": weights})
    draft = replace(flagship, target=target)
    report, content = report_of(draft, draft.check(), draft.prove(), tmp_path / "package", {})
    write_package(report, content, draft.subject, run.run_elsewhere)
    with_weights, without = (report.folder / "onnx" / name for name in ("model.onnx.data", "model.onnx"))
    assert with_weights.stat().st_size > 20_000 and without.stat().st_size < 60_000
    held = onnx.load(report.path)
    assert all(
        array(t).tobytes() == array(initializers(flagship.proto)[n]).tobytes() for n, t in initializers(held).items()
    )
    assert report.file["bytes"] == with_weights.stat().st_size + without.stat().st_size
    with_weights.write_bytes(with_weights.read_bytes()[:-1])
    assert any("onnx/model.onnx.data has" in problem for problem in mmspec.verify(report.folder).problems)
