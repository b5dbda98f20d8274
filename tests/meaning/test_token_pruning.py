"""Tokens that are attended to least are left out, as the papers say, and nothing but what is there decides which."""

import re

import pytest
import torch
from influence import influence, run
from torch import Tensor

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read
from mmspec.testing import randomise


def image(pruning: str, more: str = "", depth: int = 4) -> str:
    return f"""
name: pruned
inputs: {{image: {{type: image, size: 16, channels: 1}}}}
encoders:
  image: {{type: vit, patch_size: 4, width: 16, depth: {depth}, heads: 2, pruning: {pruning}{more}}}
heads: {{label: {{type: classification, classes: 3}}}}
outputs: [image]
"""


def text(pruning: str, more: str = "", length: int = 12) -> str:
    return f"""
name: pruned
inputs: {{text: {{type: text, vocab_size: 50, length: {length}}}}}
encoders: {{text: {{type: text_transformer, width: 16, depth: 3, heads: 2, pruning: {pruning}{more}}}}}
heads: {{label: {{type: classification, classes: 3}}}}
outputs: [text]
"""


def built(written: str, seed: int = 0):
    model = mmspec.build(read(written, CATALOGUE, origin="pruned.yaml")).eval()
    randomise(model, seed=seed)
    return model


def pixels(batch: int = 3) -> Tensor:
    return torch.randn(batch, 1, 16, 16, generator=torch.Generator().manual_seed(1))


# EViT in plain torch, one sample at a time --------------------------------------------------------------------------------


def attention(layer, x: Tensor, front: int, heads: int = 2) -> tuple[Tensor, Tensor]:
    """[N, D] -> [N, D], and the attention that the class token, or the mean query, gives to each token."""
    count, width = x.shape
    d = width // heads
    query, key, value = (getattr(layer, name)(x).view(count, heads, d) for name in ("query", "key", "value"))
    seen, given = torch.zeros(count, heads, d), torch.zeros(count)
    for h in range(heads):
        weights = (query[:, h] @ key[:, h].T / d**0.5).softmax(-1)
        seen[:, h] = weights @ value[:, h]
        asking = query[0, h] if front else query[:, h].mean(0)
        given += (key[:, h] @ asking / d**0.5).softmax(-1) / heads
    return layer.output(seen.flatten(1)), given


def evit(stack, x: Tensor, front: int, at: set[int], keep: float, fuse: bool) -> Tensor:
    for number, block in enumerate(stack, 1):
        seen, given = attention(block.attention, block.norm1(x), front)
        x = x + seen
        if number in at:
            others = given[front:]
            count = -(-len(others) * round(keep * 100) // 100)
            order = others.argsort(descending=True)
            kept, gone = order[:count].sort().values + front, order[count:] + front
            rest = [(given[gone, None] * x[gone]).sum(0, keepdim=True)] if fuse else []
            x = torch.cat([x[:front], x[kept], *rest])
        network = block.feed_forward
        x = x + network.down(torch.nn.functional.gelu(network.up(block.norm2(x))))
    return x


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize(("more", "front"), [(", class_token: true, registers: 2", 3), ("", 0)])
def test_a_share_of_the_tokens_goes_on_as_in_evit(keep, fuse, more, front):
    pruning = f"{{type: ratio, blocks: [2, 3], keep: {keep}, fuse: {str(fuse).lower()}}}"
    model = built(image(pruning, more))
    with torch.no_grad():
        entering: list[Tensor] = []
        model.image.blocks[0].register_forward_pre_hook(lambda module, args: entering.append(args[0]))
        found = model(image=pixels())["image"]
        for sample, x in zip(found, entering[0], strict=True):
            expected = model.image.norm(evit(model.image.blocks, x, front, {2, 3}, keep, fuse))
            torch.testing.assert_close(sample, expected, rtol=1e-4, atol=1e-4)


def test_blocks_keep_their_names():
    plain, pruned = (
        built(image("none", ", class_token: true")),
        built(image("{type: ratio, blocks: [2, 3]}", ", class_token: true")),
    )
    assert plain.state_dict().keys() == pruned.state_dict().keys()


def test_what_is_left_out_has_no_influence_unless_it_is_fused():
    """On the feed-forward of the pruning block and on all that follows."""
    for fuse in (False, True):
        pruning = f"{{type: ratio, blocks: [1], keep: 0.25, fuse: {str(fuse).lower()}}}"
        model = built(image(pruning, ", class_token: true"))
        outputs, leaves = run(model, {"image": pixels(1)}, "image.blocks.0.attention.output", "image.blocks.0.keep")
        moved = influence(outputs["image"], leaves["image.blocks.0.attention.output"]).any(dim=1)
        expected = torch.zeros(17, dtype=torch.bool)
        kept = leaves["image.blocks.0.keep"][0]
        expected[kept] = True
        assert len(kept) == 1 + 4
        assert moved[0].equal(torch.ones_like(expected) if fuse else expected)


@pytest.mark.parametrize(
    "pruning", ["{type: ratio, blocks: [1, 2], keep: 0.5}", "{type: ratio, blocks: [1, 3], keep: 0.4, fuse: true}"]
)
def test_a_text_is_pruned_alone_as_it_is_in_company(pruning):
    model = built(text(pruning))
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(1, 50, (12, 12), generator=generator)
    lengths = torch.arange(1, 13)
    ids = ids * (torch.arange(12) < lengths[:, None])
    with torch.no_grad():
        together = model(text=ids)["label"]
        for sample, length in enumerate(lengths.tolist()):
            alone = model(text=ids[sample : sample + 1, :length])["label"]
            torch.testing.assert_close(alone[0], together[sample])


def test_absent_tokens_are_never_kept_and_decide_nothing():
    model = built(text("{type: ratio, blocks: [1, 2], keep: 0.5, fuse: true}"))
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(1, 50, (4, 12), generator=generator)
    mask = torch.rand(4, 12, generator=generator) > 0.4
    mask[3] = False
    other = torch.where(mask, ids, torch.randint(1, 50, (4, 12), generator=generator))
    with torch.no_grad():
        assert torch.equal(model(text=ids, text_mask=mask)["label"], model(text=other, text_mask=mask)["label"])


@pytest.mark.parametrize(
    ("written", "message", "where"),
    [
        (image("{type: ratio, blocks: [5]}"), "there is no block 5: the depth is 4", "[5]"),
        (image("{type: ratio, blocks: [2, 2]}"), "names a block twice", "[2, 2]"),
        (image("{type: ratio, keep: 0.0001}"), "a share of 0.0001 keeps no token", "0.0001"),
        (image("{type: ratio, keep: 0}"), "greater than 0", "0}"),
        (image("{type: ratio}", ", position: rotary"), "position: rotary needs every token in its place", "rotary"),
        (
            image("{type: ratio}", ", attention: {type: window, size: 2}"),
            "attention: window needs every token in its place",
            "{type: window",
        ),
        (image("{type: ratio}", ", taps: [1]"), "are not given out", "[1]"),
        (text("{type: ratio}", ", attention: causal"), "attention: causal needs every token", "causal"),
    ],
)
def test_what_cannot_be_pruned_is_said_where_it_is_written(written, message, where):
    with pytest.raises(SpecError) as error:
        mmspec.lower(read(written, CATALOGUE, origin="pruned.yaml"))
    row, column = map(int, re.search(r"pruned.yaml:(\d+):(\d+)", str(error.value)).groups())
    assert message in str(error.value)
    assert written.splitlines()[row - 1][column - 1 :].startswith(where), str(error.value)
