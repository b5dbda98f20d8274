"""Specs for the data room's tests, read as a user's are."""

import pytest

from mmspec.components import CATALOGUE
from mmspec.spec import read

SPEC = """\
name: small
inputs:
  image: {type: image, size: 16, channels: 1}
  text: {type: text, vocab_size: 257, length: 32}
encoders:
  image: {type: vit, patch_size: 8, width: 16, depth: 1, heads: 2}
  text: {type: text_transformer, width: 16, depth: 1, heads: 2}
fusion:
  joint: {type: gated, depth: 1, heads: 2}
heads:
  label: {type: classification, classes: 12}
objectives:
  - {type: cross_entropy, head: label, target: answer}
"""


@pytest.fixture
def spec_of():
    """A small spec with some values changed: spec_of("inputs.image.size=32")."""
    return lambda *overrides: read(SPEC, CATALOGUE, origin="small.yaml", overrides=overrides)


@pytest.fixture
def edited():
    """The small spec with pieces of its text replaced: edited({"size: 16": "size: 32"})."""

    def edit(changes):
        text = SPEC
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        return read(text, CATALOGUE, origin="small.yaml")

    return edit
