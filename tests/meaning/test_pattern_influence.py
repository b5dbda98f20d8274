"""In a whole encoder of one block, token m moves token n just where the pattern says so."""

import patterns
import pytest
import torch
from influence import influence, run
from torch import Tensor

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import read
from mmspec.testing import randomise

LENGTH, SIDES = 20, (6, 6)


def text(attention: str, depth: int = 1) -> str:
    return f"""
name: patterns
inputs: {{text: {{type: text, vocab_size: 50, length: {LENGTH}}}}}
encoders: {{text: {{type: text_transformer, width: 16, depth: {depth}, heads: 2, attention: {attention}}}}}
heads: {{label: {{type: classification, classes: 3}}}}
outputs: [text]
"""


def image(attention: str, more: str = "") -> str:
    return f"""
name: patterns
inputs: {{image: {{type: image, size: 12, channels: 1}}}}
encoders: {{image: {{type: vit, patch_size: 2, width: 16, depth: 1, heads: 2, attention: {attention}{more}}}}}
heads: {{label: {{type: classification, classes: 3, from: image}}}}
outputs: [image]
"""


def moved(written: str, inputs: dict[str, Tensor], embedded: str) -> tuple[Tensor, torch.nn.Module]:
    """Which token of the embedding moves which token of the encoder's output.   bool[B, N, N]"""
    model = mmspec.build(read(written, CATALOGUE)).eval()
    randomise(model)
    outputs, leaves = run(model, inputs, embedded)
    name = embedded.partition(".")[0]
    return influence(outputs[name], leaves[embedded]), model


TEXTS = {
    "{type: window, size: 3}": patterns.row(LENGTH, 3),
    "{type: window, size: 3, causal: true}": patterns.row(LENGTH, 3, causal=True),
    "{type: dilated, dilation: 3}": patterns.row(LENGTH, LENGTH, 3),
    "{type: dilated, dilation: 2, size: 2}": patterns.row(LENGTH, 2, 2),
    "{type: global, tokens: 2, size: 2}": patterns.row(LENGTH, 2, first=2),
    "{type: block_sparse, block: 3, random: 0}": patterns.blocks(LENGTH, 3, 1, 1, None)[0],
    "{type: linear, causal: true}": patterns.row(LENGTH, LENGTH, causal=True),
    "linear": patterns.row(LENGTH, LENGTH),
}


@pytest.mark.parametrize("attention", TEXTS)
def test_tokens_of_a_text_move_those_that_see_them(attention):
    ids = torch.randint(1, 50, (2, LENGTH), generator=torch.Generator().manual_seed(3))
    ids[1, 13:] = 0
    there = ids != 0
    # the first norm of the only block reads each token by itself
    found, _ = moved(text(attention), {"text": ids}, "text.blocks.0.norm1")
    seen = TEXTS[attention] & there[:, None, :]
    asks = torch.diag_embed(seen.sum(-1) > 1)  # its own query matters where there is something to choose from
    assert found.equal(seen | asks), "who moves whom is not what the pattern says"


def test_random_blocks_are_drawn_anew_in_every_block_of_a_stack():
    ids = torch.randint(1, 50, (1, LENGTH), generator=torch.Generator().manual_seed(3))
    _, model = moved(text("{type: block_sparse, block: 1, random: 2, seed: 7}", depth=3), {"text": ids}, "text")
    tables = [model.get_buffer(f"text.blocks.{i}.attention.random_blocks") for i in range(3)]
    assert not any(tables[i].equal(tables[j]) for i in range(3) for j in range(i))
    again = mmspec.build(read(text("{type: block_sparse, block: 1, random: 2, seed: 8}", depth=3), CATALOGUE))
    assert again.get_buffer("text.blocks.0.attention.random_blocks").equal(tables[1]), "a table follows from its seed"
    for table in tables:
        assert table.shape == (2, LENGTH - 2, 2)
        rows = torch.arange(1, LENGTH - 1)[None, :, None]
        assert ((table - rows).abs() > 1).all() and ((table >= 1) & (table < LENGTH - 1)).all()
        assert (table[..., 0] != table[..., 1]).all()


IMAGES = {
    "{type: window, size: 2}": (patterns.grid(SIDES, lambda a, b: a // 2 == b // 2), ""),
    "{type: dilated, dilation: 2}": (patterns.grid(SIDES, lambda a, b: (a - b) % 2 == 0), ""),
    "{type: global, size: 5}": (patterns.row(36, 5, first=1), ""),
    "{type: window, size: 2 }": (patterns.grid(SIDES, lambda a, b: a // 2 == b // 2, 1), ", class_token: true"),
    "{type: dilated, dilation: 2 }": (patterns.grid(SIDES, lambda a, b: (a - b) % 2 == 0, 3), ", registers: 3"),
}


@pytest.mark.parametrize("attention", IMAGES)
def test_patches_of_an_image_move_those_that_see_them(attention):
    visible, more = IMAGES[attention]
    pixels = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(3))
    found, _ = moved(image(attention, more), {"image": pixels}, "image.blocks.0.norm1")
    assert found.equal(visible.expand(2, -1, -1))


def test_rotary_positions_and_shared_key_heads_go_with_a_window():
    attention = "{type: window, size: 3}, position: rotary, kv_heads: 1"
    ids = torch.randint(1, 50, (1, LENGTH), generator=torch.Generator().manual_seed(3))
    found, _ = moved(text(attention), {"text": ids}, "text.blocks.0.norm1")
    assert found[0].equal(patterns.row(LENGTH, 3))
