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


# the other rules, one sample at a time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("more", "front"), [(", class_token: true, registers: 2", 3), ("", 0)])
def test_tokens_above_a_threshold_go_on(more, front):
    model = built(image("{type: threshold, blocks: [1, 3], threshold: 0.98}", more))
    entering: list[Tensor] = []
    model.image.blocks[0].register_forward_pre_hook(lambda module, args: entering.append(args[0]))
    lengths: list[int] = []
    model.image.blocks[3].register_forward_pre_hook(lambda module, args: lengths.append(args[0].shape[1]))
    with torch.no_grad():
        found = model(image=pixels())["image"]
        longest = 0
        for sample, x in zip(found, entering[0], strict=True):
            for number, block in enumerate(model.image.blocks, 1):
                seen, given = attention(block.attention, block.norm1(x), front)
                x = x + seen
                if number in (1, 3):
                    stays = given > 0.98 * given[front:].mean()
                    stays[:front] = True
                    x = x[stays]
                network = block.feed_forward
                x = x + network.down(torch.nn.functional.gelu(network.up(block.norm2(x))))
            torch.testing.assert_close(sample[: len(x)], model.image.norm(x), rtol=1e-4, atol=1e-4)

            longest = max(longest, len(x))
    assert longest < 16 + front
    assert lengths == [longest], "later blocks work on as many tokens as the longest row has"


def scores(scorer, tokens: Tensor, say: Tensor) -> Tensor:
    """The logits of DynamicViT's network: [n, D], [n] -> [n, 2]."""
    z = torch.nn.functional.gelu(scorer.embed(scorer.norm(tokens)))
    half = z.shape[1] // 2
    whole = (z[:, half:] * say[:, None]).sum(0) / say.sum()
    inner = torch.nn.functional.gelu(scorer.local(z[:, :half]) + scorer.whole.weight @ whole)
    return scorer.decide(torch.nn.functional.gelu(scorer.down(inner)))


def dynamic_vit(stack, x: Tensor, front: int, drawn: list[Tensor] | None = None) -> Tensor:
    """At inference the better half goes on; in training all, with attention counting those that `drawn` (bool) has left."""
    say, place = torch.ones(len(x)), 0
    for number, block in enumerate(stack, 1):
        layer, normed = block.attention, block.norm1(x)
        query, key, value = (getattr(layer, name)(normed).view(len(x), 2, -1) for name in ("query", "key", "value"))
        counts = say + (1 - say) * torch.eye(len(x))
        seen = []
        for h in range(2):
            weights = (query[:, h] @ key[:, h].T / query.shape[2] ** 0.5).exp() * counts
            seen.append(weights / weights.sum(-1, keepdim=True) @ value[:, h])
        x = x + layer.output(torch.cat(seen, dim=1))
        network = block.feed_forward
        x = x + network.down(torch.nn.functional.gelu(network.up(block.norm2(x))))
        if number in (1, 3):
            logits = scores(block.scorer, x[front:], say[front:])
            if drawn is None:
                order = (logits[:, 0] - logits[:, 1]).argsort(descending=True)[: -(-len(logits) // 2)].sort().values
                x = torch.cat([x[:front], x[front:][order]])
                say = torch.ones(len(x))
            else:
                say = torch.cat([say[:front], say[front:] * drawn[place]])
                place += 1
    return x


@pytest.mark.parametrize(("more", "front"), [(", class_token: true, registers: 2", 3), ("", 0)])
@pytest.mark.parametrize("training", [False, True])
def test_decisions_are_dynamic_vit_s(more, front, training):
    model = built(image("{type: learned, blocks: [1, 3], keep: 0.5}", more)).train(training)
    entering: list[Tensor] = []
    drawn: list[Tensor] = []
    model.image.blocks[0].register_forward_pre_hook(lambda module, args: entering.append(args[0]))
    for place in (0, 2):
        model.image.blocks[place].decide.register_forward_hook(lambda module, args, said: drawn.append(said[..., 0]))
    with torch.no_grad():
        found = model(image=pixels())["image"]
        for b, x in enumerate(entering[0]):
            expected = dynamic_vit(model.image.blocks, x, front, [each[b] for each in drawn] if training else None)
            torch.testing.assert_close(found[b], model.image.norm(expected), rtol=1e-4, atol=1e-4)


def test_the_loss_brings_the_share_that_stays_to_what_was_asked_for():
    model = built(image("{type: learned, blocks: [1, 3], keep: 0.5, weight: 3.0}")).train()
    drawn: list[tuple[Tensor, Tensor]] = []
    for place in (0, 2):
        model.image.blocks[place].decide.register_forward_hook(
            lambda module, args, said: drawn.append((args[1].sum(1)[:, 0], said.sum(1)[:, 0]))
        )
    outputs = model(image=pixels())
    expected = 3.0 / 2 * sum(((after / before - 0.5) ** 2).mean() for before, after in drawn)
    torch.testing.assert_close(outputs["image.balance"], expected)
    outputs["image.balance"].backward()
    assert model.image.blocks[2].scorer.decide.weight.grad.any()


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
    "pruning",
    [
        "{type: ratio, blocks: [1, 2], keep: 0.5}",
        "{type: ratio, blocks: [1, 3], keep: 0.4, fuse: true}",
        "{type: threshold, blocks: [1, 2], threshold: 0.9}",
        "{type: learned, blocks: [1, 2], keep: 0.5}",
    ],
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


@pytest.mark.parametrize(
    "rule",
    ["ratio, keep: 0.5, fuse: true", "threshold, threshold: 0.9", "learned, keep: 0.5"],
    ids=lambda rule: rule[:5],
)
def test_absent_tokens_are_never_kept_and_decide_nothing(rule):
    model = built(text(f"{{type: {rule}, blocks: [1, 2]}}"))
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
