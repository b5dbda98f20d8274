"""Every halting policy in a file: samples leave where torch lets them leave, and what they leave with is the same."""

import pytest
import small_exports as small

from mmspec.components import CATALOGUE
from mmspec.spec import read

FUSION, DEEPER = "heads: 2, expansion: 2, depth: 2", "heads: 2, expansion: 2, depth: 3"
TEMPLATE = """
name: halting
inputs:
  image: {{type: image, size: 8, channels: 1}}
  text: {{type: text, vocab_size: 20, length: 6}}
  {inputs}
encoders:
  image: {{type: vit, patch_size: 4, width: 8, depth: {depth}, heads: 2, expansion: 2, class_token: true{encoder}}}
  text: {{type: text_transformer, width: 8, depth: 1, heads: 2, expansion: 2}}
fusion:
  joint: {{{fusion}, from: [text, image]}}
  row: {{type: gated, {one}, from: [image, text]}}
heads:
  label: {{type: classification, classes: 4, from: joint}}
  word: {{type: classification, classes: 4, from: row}}
  picture: {{type: classification, classes: 4, from: image.class}}
outputs: [{outputs}]
"""
CASES = {
    "act_and_ponder": {
        "fusion": f"type: gated, {FUSION}, halting: {{type: act, halting_bias: 0.0}}",
        "one": f"{FUSION}, halting: {{type: ponder, head: word}}",
        "outputs": "joint.exit",
    },
    "budget_and_improvement": {
        "inputs": "budget: {type: number}",
        "fusion": f"type: gated, {FUSION}, halting: {{type: budget, head: label, own_heads: true}}",
        "one": f"{DEEPER}, halting: {{type: improvement, threshold: 0.9, head: word, exits: [2]}}",
    },
    "streams_and_an_encoder": {
        "fusion": f"type: transformer, streams: multi, {FUSION}, halting: {{type: by_stream, threshold: 0.8}}",
        "one": f"{DEEPER}, halting: {{type: patience, head: word}}",
        "depth": 2,
        "encoder": ", halting: {type: entropy, threshold: 1.2, head: picture}",
        "outputs": "joint.image.exit, joint.text.exit",
    },
}


def halting(name):
    said = {"inputs": "", "depth": 1, "encoder": "", "outputs": "", **CASES[name]}
    return read(TEMPLATE.format(**said), CATALOGUE, origin="halting.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_policy_is_exported_and_samples_leave_where_torch_lets_them(name):
    draft = small.draft(halting(name))
    draft.check()
    parity = draft.prove()
    assert max(parity.max_error.values()) <= 1e-5
    assert parity.excused <= 0.02 * parity.samples
    left = [port.name for port in draft.contract.outputs if port.name.endswith(".exit")]
    for exit in left:
        assert any(sum(count > 0 for count in case.exits[exit]) > 1 for case in parity.compared), f"{exit} never mixed"


@pytest.mark.slow
def test_a_loop_keeps_its_sizes_after_another_in_the_same_process():
    """The first reads the five tokens of a picture, the second a text of any length, of which five are traced."""
    small.draft(halting("act_and_ponder"))
    looped = {"joint": small.FUSIONS["gated"] + ", halting: {type: act}"}
    draft = small.draft(small.spec(looped, {"label": "from: joint"}))
    assert draft.contract.dims["text_length"].low == 1
    draft.check()
