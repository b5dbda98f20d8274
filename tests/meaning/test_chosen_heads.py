"""The heads that a policy favours for a sample are computed, and no others."""

import re

import pytest
import torch

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read
from mmspec.testing import randomise


def written(k: int = 2, more: str = "") -> str:
    return f"""
name: heads
inputs: {{text: {{type: text, vocab_size: 50, length: 7}}}}
encoders:
  text: {{type: text_transformer, width: 16, depth: 1, heads: 4, head_policy: {{type: top_k, k: {k}}}{more}}}
heads: {{label: {{type: classification, classes: 3}}}}
outputs: [text]
"""


def ids(batch: int = 8):
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand(batch, 7, generator=generator) > 0.3
    mask[0], mask[1] = True, False
    return torch.randint(1, 50, (batch, 7), generator=generator), mask


@pytest.mark.parametrize(("k", "more"), [(1, ""), (3, ""), (4, ""), (2, ", bias: false"), (2, ", attention: causal")])
def test_the_heads_that_the_policy_favours_are_weighted_by_it(k, more):
    model = mmspec.build(read(written(k, more), CATALOGUE)).eval()
    randomise(model)
    layer = model.text.blocks[0].attention
    seen = {}
    layer.register_forward_hook(lambda module, args, y: seen.update(x=args[0], y=y))
    text, mask = ids()
    with torch.no_grad():
        model(text=text, text_mask=mask)
        for x, there, found in zip(seen["x"], mask, seen["y"], strict=True):
            mean = x[there].mean(0) if there.any() else torch.zeros(16)
            chances = layer.policy(mean).softmax(-1)
            expected = torch.zeros(7, 16) if layer.output.bias is None else layer.output.bias.repeat(7, 1)
            for h in chances.argsort(descending=True)[:k].tolist():
                own = slice(4 * h, 4 * h + 4)
                query, key, value = (
                    x @ each.weight[own].T + (0 if each.bias is None else each.bias[own])
                    for each in (layer.query, layer.key, layer.value)
                )
                for n in range(7):
                    keys = there & (torch.arange(7) <= n) if "causal" in more else there
                    if keys.any():
                        y = (query[n] @ key[keys].T / 2).softmax(-1) @ value[keys]
                        expected[n] += 4 * chances[h] * layer.output.weight[:, own] @ y
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_sample_alone_is_answered_as_in_company():
    model = mmspec.build(read(written(), CATALOGUE)).eval()
    randomise(model)
    text, mask = ids()
    with torch.no_grad():
        together = model(text=text, text_mask=mask)["label"]
        for b in range(8):
            torch.testing.assert_close(model(text=text[b : b + 1], text_mask=mask[b : b + 1])["label"][0], together[b])


def test_half_the_heads_cost_half_of_attention():
    def attention(k):
        return mmspec.profile(read(written(k), CATALOGUE))["flops.total"]

    assert attention(4) - attention(2) == 2 * 7 * 16 * 16 * 4 // 2 + 4 * 7 * 7 * 16 // 2


@pytest.mark.parametrize(
    ("text", "message", "where"),
    [
        (written(5), "5 of 4 heads cannot be chosen", "5}"),
        (written(2, ", kv_heads: 2"), "share keys", "2}"),
        (written(2, ", position: rotary"), "position: rotary knows heads by number", "rotary"),
        (written(2, ", attention: entmax"), "attention: entmax knows heads by number", "entmax"),
        (written(2, ", pruning: ratio"), "pruning: ratio knows heads", "ratio"),
    ],
)
def test_what_cannot_be_chosen_is_said_where_it_is_written(text, message, where):
    with pytest.raises(SpecError) as error:
        mmspec.lower(read(text, CATALOGUE, origin="heads.yaml"))
    row, column = map(int, re.search(r"heads.yaml:(\d+):(\d+)", str(error.value)).groups())
    assert message in str(error.value)
    assert text.splitlines()[row - 1][column - 1 :].startswith(where), str(error.value)
