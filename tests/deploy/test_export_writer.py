"""A model that writes, exported as an encoder, the text's beginning and a step: the files agree with torch, and faults are found."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import faults
import numpy as np
import pytest
from onnx import helper, numpy_helper
from safetensors.numpy import load_file

import mmspec
from mmspec.components import CATALOGUE
from mmspec.deploy import Mismatch, load_target
from mmspec.deploy.package import report_of, run_elsewhere, write_package
from mmspec.deploy.subject import subject_of
from mmspec.deploy.target import read_target
from mmspec.deploy.writing import ENCODER, PREFILL, STEP, writing_draft_of
from mmspec.errors import Failure
from mmspec.spec import SpecError, read

pytestmark = pytest.mark.slow
SPEC = """
name: translates
inputs:
  text:   {type: text, vocab_size: 20, length: 6}
  target: {type: text, vocab_size: 20, length: 8, start: 1}
encoders:
  text: {type: text_transformer, width: 8, depth: 1, heads: 2, expansion: 2}
decoders:
  answer: {type: text_decoder, from: [target, text], width: 8, depth: 2, heads: 2, expansion: 2, position: relative_buckets}
heads:
  next: {type: language_model, from: [answer, answer.embedding]}
"""


@pytest.fixture(scope="module")
def draft():
    return writing_draft_of(subject_of(read(SPEC, CATALOGUE, origin="translates.yaml")), load_target("edge_cpu_writer"))


def test_the_files_agree_with_torch_at_every_token_and_in_what_they_write(draft):
    draft.check()
    assert set(draft.files.protos) == {ENCODER, PREFILL, STEP}
    parity = draft.prove()
    assert parity.max_error["next"] <= 1e-5 and parity.excused == 0
    written = [case for case in parity.compared if "as torch writes them" in case.case]
    assert {case.samples for case in written} == {1, 2, 7} and len(written) == 12
    assert any("in front" in case.case for case in written)


def in_step(change):
    def fault(files):
        step = faults.copied(files.protos[STEP])
        change(step)
        return replace(files, protos={**files.protos, STEP: step})

    fault.__name__ = change.__name__
    return fault


def renamed(step, names):
    for node in step.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


@in_step
def cache_of_another_block(step):
    keys = [f"past.answer.blocks.{i}.attention.key" for i in (0, 1)]
    renamed(step, {keys[0]: keys[1], keys[1]: keys[0]})


@in_step
def keys_for_values(step):
    names = [f"past.answer.blocks.1.attention.{name}" for name in ("key", "value")]
    renamed(step, {names[0]: names[1], names[1]: names[0]})


@in_step
def context_of_another_block(step):
    keys = [f"context.answer.blocks.{i}.cross_attention.key" for i in (0, 1)]
    renamed(step, {keys[0]: keys[1], keys[1]: keys[0]})


@in_step
def place_off_by_one(step):
    """Keys stand one place further than they do; the token itself stands where it stood."""
    slices = [n for n in step.graph.node if n.op_type != "Slice" and "target.places" in n.input]
    assert slices
    one = helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array(1)))
    further = helper.make_node("Add", ["target.places", "one"], ["further"])
    for node in slices:
        node.input[:] = ["further" if name == "target.places" else name for name in node.input]
    step.graph.node.insert(0, further)
    step.graph.node.insert(0, one)


@in_step
def everyone_present(step):
    renamed(step, {"target.present": "everyone"})
    step.graph.node.insert(0, helper.make_node("Equal", ["target.present", "target.present"], ["everyone"]))


def answered_one_early(files):
    prefill = faults.copied(files.protos[PREFILL])
    renamed(prefill, {"target.last": "earlier"})
    zero = helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0)))
    one = helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array(1)))
    less = helper.make_node("Sub", ["target.last", "one"], ["less"])
    for node in (helper.make_node("Max", ["less", "zero"], ["earlier"]), less, one, zero):
        prefill.graph.node.insert(0, node)
    return replace(files, protos={**files.protos, PREFILL: prefill})


NUMBERS = [cache_of_another_block, keys_for_values, context_of_another_block, place_off_by_one, everyone_present]


@pytest.mark.parametrize("fault", [*NUMBERS, answered_one_early], ids=lambda fault: fault.__name__)
def test_a_fault_is_found_by_writing(draft, fault):
    with pytest.raises(Mismatch, match="does not compute the model"):
        replace(draft, files=fault(draft.files)).prove()


def one_weight(files):
    changed = faults.changed(
        files.protos[STEP], "answer.blocks.1.norm2.bias", lambda weights: weights + np.float32(0.1)
    )
    return replace(files, protos={**files.protos, STEP: changed})


def swapped(files):
    return replace(files, protos={**files.protos, STEP: files.protos[PREFILL], PREFILL: files.protos[STEP]})


def no_encoder(files):
    return replace(files, protos={name: files.protos[name] for name in (PREFILL, STEP)})


@pytest.mark.parametrize("fault", [one_weight, swapped, no_encoder], ids=lambda fault: fault.__name__)
def test_a_fault_is_found_by_the_structural_gate(draft, fault):
    with pytest.raises(Failure, match="is not the model"):
        replace(draft, files=fault(draft.files)).check()


def test_the_package_writes_without_torch_and_without_mmspec(draft, tmp_path):
    report, content = report_of(draft, draft.check(), draft.prove(), tmp_path / "package", {})
    write_package(report, content, draft.subject, run_elsewhere)  # another process asks it for its golden answers
    assert mmspec.verify(report.folder).errors["next"] <= 1e-5
    contract = json.loads((report.folder / "contract.json").read_text())
    assert contract["form"] == "writer" and report.path == report.folder / "onnx" / "writer.json"
    golden = load_file(report.folder / "golden.safetensors")
    for number in range(3):
        inputs = {
            n.removeprefix(f"{number}.inputs."): v for n, v in golden.items() if n.startswith(f"{number}.inputs.")
        }
        found = draft.files.writer()(inputs)["next"]
        assert np.abs(found - golden[f"{number}.outputs.next"]).max() <= 1e-5
    rng = np.random.default_rng(0)
    given = {
        "text": rng.integers(1, 20, (3, 4)), "text_mask": np.ones((3, 4), bool),
        "target": rng.integers(2, 20, (3, 2)), "target_mask": np.array([[True, True], [True, False], [True, True]]),
    }  # fmt: skip
    np.savez(tmp_path / "inputs.npz", **given)
    wanted = draft.files.writer().generate(given, 5)
    moved = shutil.move(report.path.parent, tmp_path / "moved")
    subprocess.run([sys.executable, "-c", ALONE], cwd=moved, check=True)
    assert json.loads((tmp_path / "moved" / "found.json").read_text()) == wanted


ALONE = """
import json, sys, numpy as np
from writer import Writer
found = Writer.load(".", threads=1).generate(dict(np.load("../inputs.npz")), 5)
json.dump(found, open("found.json", "w"))
assert not {"torch", "mmspec"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("exits: stages", "a host runs stages or writes a text"),
        ("shapes: {length: {min: 3}}", "begins with any number of tokens"),
        ("shapes: {batch: {min: 2, max: 4}}", "samples leave the batch"),
        ("serving: {triton: {}}", "a loop of their own"),
        ("runtime: tensorrt\ntensorrt: {version: '10.3'}", "for ONNX Runtime and OpenVINO"),
    ],
)
def test_what_a_cache_cannot_do_is_refused_in_the_target(said, words):
    runs = "device: cuda\n" if "tensorrt" in said else "device: cpu\nruntime: onnxruntime\n"
    text = f"{runs}precision: fp32\ndecoding: cache\n{said}\n"
    with pytest.raises(SpecError, match=words):
        read_target(text)


def test_a_text_whose_places_are_all_kept_for_something_else_has_no_room():
    spec = mmspec.load("llava_1_5_7b", ["inputs.text.length=4"], variant="small")
    with pytest.raises(SpecError, match="text has no room to go on"):
        writing_draft_of(subject_of(spec), load_target("edge_cpu_writer"))
