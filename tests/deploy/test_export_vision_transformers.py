"""Vision transformers as ONNX files: the small variants of the published ones, and what stands before their blocks."""

import pytest
import small_exports as small

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import read

STEM = """
name: stem
inputs: {image: {type: image, size: 16, channels: 1}}
encoders:
  stem: {type: conv_stem, from: image, widths: [4, 8], strides: [2, 2]}
  tokens: {type: vit, from: stem, patch_size: 1, width: 16, depth: 1, heads: 2, class_token: true, registers: 2,
           position: {type: convolutional, kernel: 3}}
  turned: {type: vit, from: stem, patch_size: 1, width: 16, depth: 1, heads: 2, class_token: true, position: rotary}
heads:
  label: {type: classification, classes: 4, from: tokens.class}
  other: {type: classification, classes: 4, from: turned.class}
"""
LEVELS = """
name: levels
inputs: {text: {type: text, vocab_size: 20, length: 8}}
encoders: {text: {type: hierarchical_text, width: 16, depth: 1, heads: 2, position: {type: convolutional, kernel: 4}}}
heads:
  label: {type: classification, classes: 4, from: text}
  strongest: {type: classification, classes: 4, from: text.phrase, pool: max}
"""
PUBLISHED = ("vit_b16", "deit_b16_distilled", "dino_s16", "dino_s16_teaching", "mae_b")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        *((lambda name=name: mmspec.load(name, variant="small")) for name in PUBLISHED),
        lambda: read(STEM, CATALOGUE),
        lambda: read(LEVELS, CATALOGUE),
    ],
    ids=[*PUBLISHED, "stem", "levels"],
)
def test_it_is_exported_and_agrees_with_torch(make):
    draft = small.draft(make())
    draft.check()
    assert max(draft.prove().max_error.values()) <= 1e-4
