"""What fewer bits cost on the task that a model was trained for, and the process that measures files."""

import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

import mmspec
from mmspec.components import CATALOGUE
from mmspec.deploy import read_target
from mmspec.deploy.draft import draft_of
from mmspec.deploy.file import with_arrays
from mmspec.deploy.measurement import measured, written
from mmspec.deploy.precision.lowering import lowered_of
from mmspec.deploy.precision.roles import group_of
from mmspec.deploy.precision.task import task_of
from mmspec.deploy.subject import subject_of
from mmspec.errors import Failure
from mmspec.spec import read

SPEC = """
name: tiny
inputs:
  image: {type: image, size: 16, channels: 1}
encoders:
  image: {type: vit, patch_size: 4, width: 32, depth: 2, heads: 2, expansion: 2}
heads:
  label: {type: classification, classes: 12}
objectives: [{type: cross_entropy, head: label, target: answer}]
"""
INT8 = "device: cpu\nruntime: onnxruntime\nprecision: int8\nmeasure: {batches: [1, 4], runs: 5}\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task") / "trained"
    recipe = {"data": "digits_questions", "steps": 30, "batch": 64, "evaluate_every": 30}
    return folder, mmspec.train(read(SPEC, CATALOGUE, origin="tiny.yaml"), recipe, folder)


@pytest.fixture(scope="module")
def draft(trained):
    return draft_of(subject_of(trained[0]), read_target(INT8))


def lowered(draft, text=""):
    return lowered_of(replace(draft, target=read_target(INT8 + text)), lambda text: nullcontext())


@pytest.mark.slow
def test_the_accuracy_of_the_float_file_is_what_training_reported(trained, draft):
    task = task_of(draft.subject, draft.contract)
    assert task.accuracy(draft.files.run()) == pytest.approx(trained[1].metrics["validation"]["accuracy"], abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_the_loss_of_accuracy_is_measured_on_the_validation_split(draft, activations):
    made = lowered(draft, f"quantisation: {{activations: {activations}, samples: 128}}\nloss: {{metric: 0.05}}")
    made.check()
    found = made.prove()
    metric = found.metric
    assert metric.examples == 359 and metric.allowed == 0.05 >= metric.loss
    assert metric.loss == metric.float32 - metric.file and 0 < found.errors["label"] < 0.1
    assert found.samples == "256 validation examples of digits_questions" and not found.notes


@pytest.mark.slow
def test_a_loss_beyond_the_target_writes_nothing_and_says_both_accuracies(draft):
    made = lowered(draft, "loss: {metric: 0.0, outputs: 1.0}")
    zeroed = made.files.proto
    held = {t.name: t for t in zeroed.graph.initializer}
    name = "image.blocks.1.feed_forward.down.weight_scale"
    wrong = with_arrays(zeroed, {name: np.full(held[name].dims, 0.05, np.float32)})
    with pytest.raises(
        Failure, match=r"validation accuracy: 0\.\d+ in float32, 0\.\d+ in this file: 0\.\d+ less, where 0 may be lost"
    ):
        replace(made, files=replace(made.files, proto=wrong)).prove()


@pytest.mark.slow
def test_a_search_returns_an_assignment_of_groups_within_the_loss(draft):
    made = lowered(draft, "quantisation: {search: true}\nloss: {metric: 0.01}")
    groups = {"image.blocks.0", "image.blocks.1", "label"}
    assert {group_of(name) for name in made.chosen} | set(made.floats) == groups
    assert not {group_of(name) for name in made.chosen} & set(made.floats)
    assert set(made.tried[0]["groups"]) == groups and made.tried[-1]["loss"] <= 0.01
    made.check()
    assert made.prove().metric.loss <= 0.01


@pytest.mark.slow
def test_files_are_measured_in_a_process_of_their_own(draft):
    files = written(draft.files, draft.accessories)
    found = measured(draft.target, draft.contract, files)
    assert set(found.by_batch) == {"1", "4"} and found.file_bytes == len(files["model.onnx"])
    for row in found.by_batch.values():
        assert 0 < row["least_ms"] <= row["median_ms"] <= row["p95_ms"] and row["runs"] == 5
    assert found.before_bytes < found.peak_bytes < 1e9
    assert json.dumps(found.to_dict())
    cuda = measured(read_target("device: cuda\nruntime: onnxruntime\nprecision: fp16"), draft.contract, files)
    assert cuda.by_batch == {} and "not measured on CUDA here" in cuda.note


def test_the_process_that_measures_knows_neither_torch_nor_the_compiler():
    code = "import sys, mmspec.clock; print([m for m in ('torch', 'pydantic', 'yaml', 'mmspec.deploy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
