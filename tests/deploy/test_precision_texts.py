"""A model that writes, in fewer bits: which files pass, what their texts lose, and what is found in a wrong one."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from mmspec.components import CATALOGUE
from mmspec.deploy import read_target
from mmspec.deploy.file import array, initializers, with_arrays
from mmspec.deploy.measurement import written
from mmspec.deploy.precision.lowering import lowered_of, random_examples
from mmspec.deploy.precision.texts import MOST, begun, texts_of
from mmspec.deploy.subject import subject_of
from mmspec.deploy.writing import PREFILL, STEP, writing_draft_of
from mmspec.errors import Failure
from mmspec.host import session
from mmspec.packaged.held import stored
from mmspec.spec import read

pytestmark = pytest.mark.slow
SPEC = """
name: translates
inputs:
  text:   {type: text, vocab_size: 20, length: 6}
  target: {type: text, vocab_size: 20, length: 12, start: 1}
encoders:
  text: {type: text_transformer, width: 32, depth: 1, heads: 2, expansion: 2}
decoders:
  answer:
    {type: text_decoder, from: [target, text], width: 32, depth: 1, heads: 2, expansion: 2,
     router: {type: top_k, experts: 2, k: 1}}
heads:
  next: {type: language_model, from: answer, vocab_size: 20}
"""
TARGETS = {
    "int8": "device: cpu\nruntime: onnxruntime\nprecision: int8\n",
    "int4": "device: cpu\nruntime: onnxruntime\nprecision: int4\n",
    "fp16": "device: cuda\nruntime: onnxruntime\nprecision: fp16\n",
    "bf16": "device: cpu\nruntime: openvino\nprecision: bf16\n",
}


def target(name):
    return read_target(TARGETS[name] + "decoding: cache\nloss: {outputs: 0.5}\n")


@pytest.fixture(scope="module")
def draft():
    return writing_draft_of(subject_of(read(SPEC, CATALOGUE, origin="translates.yaml")), target("int8"))


def lowered(draft, name):
    return lowered_of(replace(draft, target=target(name)), lambda text: nullcontext())


@pytest.mark.parametrize("name", TARGETS)
def test_files_that_write_pass_their_gates_in_every_precision(draft, name):
    if name == "bf16":
        pytest.importorskip("openvino")
    made = lowered(draft, name)
    made.check()
    found = made.prove()
    assert 0 < found.errors["next"] <= 0.5 and 0 < found.texts.error <= 0.5
    assert found.texts.other <= found.texts.allowed < 0.5 and found.texts.tokens > found.texts.texts > 0
    assert any("not on CUDA" in note for note in found.notes) == (name == "fp16")
    if name in ("int8", "int4"):
        held = [stored(made.files.protos[file]) for file in (PREFILL, STEP)]
        kept = [how for each in held for weight, how in each.items() if ".router." in weight]
        quantised = [{weight for weight, how in each.items() if how == name} for each in held]
        assert len(kept) == 2 and set(kept) == {"float32"}
        assert quantised[1] <= quantised[0] and len(quantised[1]) == 6 + 2 * 2 + 1


def test_files_beside_themselves_write_the_same_tokens(draft):
    examples = random_examples(draft, 8, seed=0)
    found = texts_of(draft.files, session, draft.files, session, examples, 0.0)
    assert found.other == 0 and found.error == 0
    most = sum(len(values[0]) for values in examples) * MOST
    assert found.texts < found.tokens <= most


def test_what_is_begun_has_a_token_in_every_row_and_all_that_keeps_a_place():
    ids, present = np.array([[1, 2, 9, 3], [9, 2, 1, 3]]), np.array([[False] * 4, [True] * 4])
    found = begun({"text": "t", "mask": "m", "places": [9]}, {"t": ids, "m": present, "other": ids})
    assert found["t"].tolist() == [[1, 2, 9], [9, 2, 1]] and found["other"] is ids
    assert found["m"].tolist() == [[True, False, False], [True, True, True]]


def test_a_step_with_other_weights_is_found_by_the_structural_gate(draft):
    made = lowered(draft, "int8")
    step, name = made.files.protos[STEP], "answer.blocks.0.attention.output.weight_scale"
    wrong = with_arrays(step, {name: array(initializers(step)[name]) * np.float32(1.05)})
    with pytest.raises(
        Failure, match=r"step\.onnx: the weight answer\.blocks\.0\.attention\.output\.weight is .* steps from"
    ):
        replace(made, files=replace(made.files, protos={**made.files.protos, STEP: wrong})).check()


def test_keys_for_values_cost_more_tokens_than_are_allowed(draft):
    made = lowered(draft, "int8")
    step = type(made.files.protos[STEP])()
    step.CopyFrom(made.files.protos[STEP])
    names = [f"past.answer.blocks.0.attention.{kind}" for kind in ("key", "value")]
    for node in step.graph.node:
        node.input[:] = [names[1 - names.index(name)] if name in names else name for name in node.input]
    with pytest.raises(Failure, match=r"texts: .*% of \d+ tokens would be others, where 10\.0% may be"):
        replace(made, files=replace(made.files, protos={**made.files.protos, STEP: step})).prove()


def test_weights_that_the_beginning_and_the_step_share_are_written_once(draft):
    held = [initializers(draft.files.protos[file]) for file in (PREFILL, STEP)]
    names = [
        name for name in held[0].keys() & held[1].keys() & draft.weights.keys() if draft.weights[name].nbytes >= 4096
    ]
    inside, beside = written(draft.files, {}), written(draft.files, {}, beside=True)
    assert beside.keys() - inside.keys() == {"weights.data"} and "answer.blocks.0.attention.query.weight" in names
    for name in names:
        content = draft.weights[name].tobytes()
        assert sum(part.count(content) for part in inside.values()) == 2
        assert [file for file, part in beside.items() if content in part] == ["weights.data"]
        assert beside["weights.data"].count(content) == 1
