"""Stacks that leave tokens out are exported, and the files agree with torch on which."""

import pytest
import small_exports as small

from mmspec.components import CATALOGUE
from mmspec.spec import read

IMAGE = """
name: pruned
inputs: {{image: {{type: image, size: 16, channels: 1}}}}
encoders:
  image: {{type: vit, patch_size: 4, width: 8, depth: 3, heads: 2, expansion: 2, class_token: true, pruning: {pruning}}}
heads: {{label: {{type: classification, classes: 4}}}}
"""
TEXT = """
name: pruned
inputs: {{text: {{type: text, vocab_size: 20, length: 9}}}}
encoders:
  text: {{type: text_transformer, width: 8, depth: 3, heads: 2, expansion: 2, pruning: {pruning}}}
heads: {{label: {{type: classification, classes: 4}}}}
"""
RULES = {"ratio": "{type: ratio, blocks: [1, 2], keep: 0.6, fuse: true}"}
RULES |= {"threshold": "{type: threshold, blocks: [1, 2], threshold: 0.9}"}
RULES |= {"learned": "{type: learned, blocks: [1, 2], keep: 0.6}"}


@pytest.mark.slow
@pytest.mark.parametrize("written", [IMAGE, TEXT], ids=["image", "text"])
@pytest.mark.parametrize("rule", RULES)
def test_pruned_stacks_are_exported(rule, written):
    draft = small.draft(read(written.format(pruning=RULES[rule]), CATALOGUE, origin="pruned.yaml"))
    draft.check()
    parity = draft.prove()
    assert max(parity.max_error.values()) <= 1e-4


SELECTED = """
name: selected
inputs: {{image: {{type: image, size: 8, channels: 1}}, text: {{type: text, vocab_size: 20, length: 7}}}}
encoders:
  image: {{type: vit, patch_size: 4, width: 8, depth: 1, heads: 2, expansion: 2}}
  text: {{type: text_transformer, width: 8, depth: 1, heads: 2, expansion: 2}}
fusion:
  joint: {{type: gated, from: [image, text], heads: 2, depth: 2, expansion: 2, selection: {{type: {kind}, k: 3}}}}
heads: {{label: {{type: classification, classes: 4}}}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["top_k", "learned"])
def test_a_fusion_that_selects_is_exported(kind):
    draft = small.draft(read(SELECTED.format(kind=kind), CATALOGUE, origin="selected.yaml"))
    draft.check()
    assert max(draft.prove().max_error.values()) <= 1e-4


HEADS = TEXT.replace("heads: 2", "heads: 4").replace("pruning: {pruning}", "head_policy: {{type: top_k, k: 2}}")


@pytest.mark.slow
def test_chosen_heads_are_exported():
    draft = small.draft(read(HEADS.format(), CATALOGUE, origin="heads.yaml"))
    draft.check()
    assert max(draft.prove().max_error.values()) <= 1e-4
