"""Attention along the axes of a grid: who sees whom, with and without a class token, and at what price."""

import pytest
import torch
from influence import entering, influence

import mmspec
from mmspec.backend import build
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read
from mmspec.testing import randomise

SIDE = 3
ROW = torch.arange(SIDE).repeat_interleave(SIDE)
COLUMN = torch.arange(SIDE).repeat(SIDE)


def spec(fields, size=12):
    return read(
        f"""
        name: along
        inputs: {{image: {{type: image, size: {size}, channels: 1}}}}
        encoders:
          image: {{type: vit, patch_size: 4, width: 16, depth: 1, heads: 2, {fields}}}
        heads: {{label: {{type: classification, classes: 2, from: image}}}}
        outputs: [image]
        """,
        CATALOGUE,
    )


def seen(fields):
    model = build(spec(fields)).eval()
    randomise(model)
    image = torch.randn(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    outputs, before = entering(model, {"image": image}, "image.blocks.0")
    return influence(outputs["image"], before)[0]


def test_axis_one_is_the_own_row_and_axis_zero_the_own_column():
    assert seen("attention: {type: axial, axes: [1]}").equal(ROW[:, None] == ROW)
    assert seen("attention: {type: axial, axes: [0]}").equal(COLUMN[:, None] == COLUMN)
    assert seen("attention: {type: axial, axes: [0, 1]}").all()


def test_a_class_token_is_in_every_row():
    found = seen("class_token: true, attention: {type: axial, axes: [1]}")
    assert found[0].all() and found[:, 0].all()
    assert found[1:, 1:].equal(ROW[:, None] == ROW)


def test_a_pattern_holds_inside_each_group():
    """Causal along the row, and only the neighbour on the left."""
    left = COLUMN[:, None] - COLUMN
    same = ROW[:, None] == ROW
    assert seen("attention: {type: axial, axes: [1], pattern: causal}").equal(same & (left >= 0))
    memory = "{type: window, size: 1, causal: true}"
    assert seen(f"attention: {{type: axial, axes: [1], pattern: {memory}}}").equal(same & (left >= 0) & (left <= 1))


def test_positions_inside_attention_are_those_of_the_group():
    """Rotary over one axis needs pairs of channels, over two pairs of pairs: heads of 2 channels have room for a row alone."""
    fields = "position: rotary, head_width: 2"
    mmspec.lower(spec(f"{fields}, attention: {{type: axial, axes: [1]}}"))
    with pytest.raises(SpecError, match="rotary positions on 2 axes"):
        mmspec.lower(spec(fields))


def test_scores_cost_a_row_for_each_token():
    """Of S^2 tokens each sees S instead of S^2: two products of width 16, 2 FLOPs per multiply-add."""
    for side in (4, 8):
        full, rows = (
            mmspec.profile(spec(f"attention: {pattern}", size=4 * side))["flops.total"]
            for pattern in ("full", "{type: axial, axes: [1]}")
        )
        assert full - rows == 2 * 2 * 16 * (side**4 - side**3)
