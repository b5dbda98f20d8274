"""A spec small enough to train in a second, with everything that training must cope with: experts, exits, dropout."""

import pytest

from mmspec.components import CATALOGUE
from mmspec.spec import read

SPEC = """\
name: tiny
inputs:
  image: {type: image, size: 8, channels: 1}
  text: {type: text, vocab_size: 257, length: 32}
encoders:
  image: {type: vit, patch_size: 4, width: 16, depth: 1, heads: 2}
  text: {type: text_transformer, width: 16, depth: 1, heads: 2}
fusion:
  joint:
    type: gated
    depth: 2
    heads: 2
    dropout: 0.1
    router: {type: top_k, experts: 3, k: 1, balance: 0.01}
    halting: {type: confidence, threshold: 0.5, head: label}
heads:
  label: {type: classification, classes: 12}
objectives:
  - {type: cross_entropy, head: label, target: answer}
"""


@pytest.fixture
def tiny():
    """The spec, with some values changed: tiny("fusion.joint.dropout=0")."""
    return lambda *overrides: read(SPEC, CATALOGUE, origin="tiny.yaml", overrides=overrides)
