"""Stage models: files without control flow, and a host loop that gives what the one module gives."""

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import small_exports as small
import stage_faults
import torch
from many_faults import gate_that_finds

import mmspec
from mmspec.deploy import Mismatch, load_target, read_target
from mmspec.deploy.contents import write_package
from mmspec.deploy.file import operators
from mmspec.deploy.package import report_of
from mmspec.deploy.precision.lowering import lowered_of
from mmspec.deploy.staged import staged_draft_of
from mmspec.deploy.subject import subject_of
from mmspec.packaged.held import stored
from mmspec.spec import SpecError

TARGET = load_target("edge_cpu_stages")


@pytest.mark.slow
def test_no_file_has_control_flow_and_the_host_agrees_with_torch(staged):
    staged.check()
    assert set(staged.files.protos) == {"beginning.onnx", "exit_0.onnx", "exit_1.onnx", "exit_2.onnx", "end.onnx"}
    assert not any(operators(proto)[name] for proto in staged.files.protos.values() for name in ("If", "Loop"))
    parity = staged.prove()
    assert max(parity.max_error.values()) <= 1e-5 and parity.excused == 0
    ways = {tuple(case.exits["label.exit"]) for case in parity.compared}
    assert {(7,), (0, 7), (0, 0, 7)} <= ways, "an exit was not forced"
    assert any(len(way) == 3 and way[0] and way[2] for way in ways), "exits were never mixed"


@pytest.mark.slow
@pytest.mark.parametrize("fault", stage_faults.FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_found_by_a_gate(staged, fault):
    found = gate_that_finds(replace(staged, files=fault(staged.files)))
    assert found == ("parity" if fault is stage_faults.heads_exchanged else "structure")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [stage_faults.swapped, stage_faults.other_threshold, stage_faults.one_weight],
    ids=lambda fault: fault.__name__,
)
def test_a_fault_is_found_by_running_the_stages(staged, fault):
    with pytest.raises(Mismatch, match="does not compute the model"):
        replace(staged, files=fault(staged.files)).prove()


@pytest.mark.slow
def test_the_package_runs_without_torch_and_without_mmspec(staged, tmp_path):
    parity = staged.prove()
    report, content = report_of(staged, staged.check(), parity, tmp_path / "package", {})
    write_package(report, content, staged.subject)
    contract = json.loads((report.folder / "contract.json").read_text())
    assert contract["form"] == "stages" and (report.folder / "onnx" / "exit_2.onnx").is_file()
    assert "stages.json" in (report.folder / "verification.html").read_text()
    inputs = (torch.randn(5, 1, 8, 8), torch.ones(5, 3, dtype=torch.int64), torch.ones(5, 3, dtype=torch.bool))
    np.savez(
        tmp_path / "inputs.npz",
        **{name: v.numpy() for name, v in zip(("image", "text", "text_mask"), inputs, strict=True)},
    )
    moved = shutil.move(report.folder, tmp_path / "moved")
    subprocess.run([sys.executable, "-c", ALONE], cwd=moved / "onnx", check=True)
    found, wanted = np.load(moved / "onnx" / "found.npz"), staged.module(*inputs)
    assert list(found) == ["label", "mood", "label.exit"]
    assert all(np.abs(found[name] - value.numpy()).max() <= 1e-5 for name, value in wanted.items())


POLICIES = {
    "several_streams": small.FUSIONS["multi"] + small.leaving(),
    "remembers_tokens": small.FUSIONS["concat"]
    + ", depth: 3, halting: {type: improvement, threshold: 0.05, exits: [1]}",
    "own_heads": small.FUSIONS["gated"]
    + ", depth: 3, halting: {type: patience, patience: 1, own_heads: true, head: label}",
    "halting_unit": small.FUSIONS["gated"] + ", depth: 3, halting: {type: ponder, head: label}",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
def test_what_a_policy_asks_and_remembers_goes_from_file_to_file(name):
    spec = small.spec({"joint": POLICIES[name]}, {"label": "from: joint"})
    draft = staged_draft_of(subject_of(spec), TARGET)
    draft.check()
    parity = draft.prove()
    assert max(parity.max_error.values()) <= 1e-5 and parity.excused == 0


ALONE = """
import sys, numpy as np
from host import Host
np.savez("found.npz", **Host.load(".", threads=1)(dict(np.load("../../inputs.npz"))))
assert not {"torch", "mmspec"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (small.two_stacks, "this is one of 2"),
        (
            lambda: mmspec.load("early_exit_vit", ["encoders.image.halting=act"], variant="small"),
            "has no stages to export",
        ),
    ],
    ids=["two_stacks", "loop"],
)
def test_what_has_no_stages_is_refused_with_its_place(make, words):
    with pytest.raises(SpecError, match=words) as caught:
        staged_draft_of(subject_of(make()), TARGET)
    assert "exits: conditions" in str(caught.value)


@pytest.mark.slow
def test_stage_models_in_int8_answer_within_the_loss_through_the_host(staged):
    text = "device: cpu\nruntime: onnxruntime\nprecision: int8\nexits: stages\nquantisation: {activations: static, examples: random}"
    made = lowered_of(
        replace(staged, target=read_target(f"{text}\nloss: {{outputs: 0.3}}")), lambda text: nullcontext()
    )
    made.check()
    assert made.prove().errors["label"] <= 0.3
    kinds = {name: set(stored(proto).values()) for name, proto in made.files.protos.items()}
    assert all("int8" in kinds[name] for name in ("beginning.onnx", "exit_0.onnx", "exit_1.onnx", "exit_2.onnx"))
