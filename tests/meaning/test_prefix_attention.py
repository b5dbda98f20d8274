"""Prefix attention: which token moves which, with and without padding, positions inside attention, and grouped keys."""

import pytest
import torch
from tiny_models import built

from mmspec.components import CATALOGUE
from mmspec.spec import read

LENGTH, PREFIX = 9, 4


def encoder(attention: str, more: str = "", seed: int = 0) -> torch.nn.Module:
    text = f"""
    name: row
    inputs: {{text: {{type: text, vocab_size: 30, length: {LENGTH}}}}}
    encoders:
      text: {{type: text_transformer, width: 16, depth: 1, heads: 4, attention: {attention}{more}}}
    outputs: [text]
    """
    return built(read(text, CATALOGUE), seed)


def moved(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Whether token n's answer changes with token m.   bool[n, m]"""
    before = model(text=ids)["text"]
    rows = []
    for m in range(ids.shape[1]):
        other = ids.clone()
        other[0, m] = ids[0, m] % 28 + 1
        rows.append((model(text=other)["text"] - before).abs().amax(dim=-1)[0] > 1e-7)
    return torch.stack(rows, dim=1)


def ids(length: int = LENGTH) -> torch.Tensor:
    return torch.randint(1, 29, (1, length), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("more", ["", ", position: rotary", ", position: relative_buckets", ", kv_heads: 2"])
@torch.no_grad()
def test_the_first_tokens_see_one_another_and_the_later_ones_see_backwards(more: str) -> None:
    places = torch.arange(LENGTH)
    expected = places <= places[:, None].clamp(min=PREFIX - 1)
    assert torch.equal(moved(encoder(f"{{type: prefix, tokens: {PREFIX}}}", more), ids()), expected)


@torch.no_grad()
def test_a_text_shorter_than_the_prefix_is_seen_both_ways() -> None:
    short = ids(PREFIX - 1)
    full, prefix = encoder("full"), encoder(f"{{type: prefix, tokens: {PREFIX}}}")
    prefix.load_state_dict(full.state_dict())
    torch.testing.assert_close(prefix(text=short)["text"], full(text=short)["text"])


@torch.no_grad()
def test_a_prefix_of_one_is_causal() -> None:
    causal, prefix = encoder("causal"), encoder("{type: prefix, tokens: 1}")
    prefix.load_state_dict(causal.state_dict())
    torch.testing.assert_close(prefix(text=ids())["text"], causal(text=ids())["text"])


@torch.no_grad()
def test_padding_inside_the_prefix_is_not_seen() -> None:
    model = encoder(f"{{type: prefix, tokens: {PREFIX}}}")
    padded = torch.cat([ids(2), torch.zeros(1, 3, dtype=torch.int64)], dim=1)
    torch.testing.assert_close(model(text=padded)["text"][:, :2], model(text=ids(2))["text"])
