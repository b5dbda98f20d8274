"""Switch of transformers: T5 whose every second feed-forward is a switch among experts that may be full."""

import pytest
import torch
from peer import agree, price
from transformers import SwitchTransformersConfig, SwitchTransformersForConditionalGeneration

import mmspec
from mmspec.backend.runtime import Admit

SIZES = {
    "vocab_size": 99,
    "d_model": 48,
    "d_kv": 8,
    "d_ff": 96,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_sparse_encoder_layers": 1,
    "num_sparse_decoder_layers": 1,
    "num_heads": 4,
    "num_experts": 8,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
CACHE = {"use_cache": False}
DROPPED = 1_218  # of 3,840 tokens, by the reference's random weights


def ids():
    draw = torch.Generator().manual_seed(1)
    target = torch.cat([torch.zeros(2, 1, dtype=torch.int64), torch.randint(1, 99, (2, 12), generator=draw)], dim=1)
    return {
        "text": ("input_ids", torch.randint(1, 99, (2, 31), generator=draw)),
        "target": ("decoder_input_ids", target),
    }


def reference(**changes):
    return SwitchTransformersForConditionalGeneration(SwitchTransformersConfig(**SIZES, **changes))


def capacity(tokens):
    return [f"{node}.router.capacity={tokens}" for node in ("encoders.text", "decoders.answer")]


@pytest.mark.parametrize("tokens", [1, 4])
def test_switch_computes_what_transformers_computes_where_experts_are_full(tokens, dropped):
    # FLOPs are priced with no token dropped: those are compared where there is room for all
    theirs = reference(expert_capacity=tokens)
    outputs = {"next": "logits"}
    agree(theirs, "switch_base_8", ids(), outputs, theirs=CACHE, overrides=capacity(tokens), flops=False)
    assert 0 < sum(dropped) < 2 * (31 + 13)


def test_switch_costs_what_transformers_computes_where_no_token_is_dropped(dropped):
    agree(
        reference(expert_capacity=64), "switch_base_8", ids(), {"next": "logits"}, theirs=CACHE, overrides=capacity(64)
    )
    assert sum(dropped) == 0


def test_the_epsilon_of_every_norm_of_switch_is_the_published_one():
    overrides = [*capacity(4), "encoders.text.norm_eps=0.1", "decoders.answer.norm_eps=0.1"]
    theirs = reference(expert_capacity=4, layer_norm_epsilon=0.1)
    agree(theirs, "switch_base_8", ids(), {"next": "logits"}, theirs=CACHE, overrides=overrides, flops=False)


def test_switch_base_8_costs_what_is_published_for_the_tokens_that_it_dropped():
    found = price("switch_base_8", parameters=619_339_008, flops=145_883_136_000)
    feed_forward = 2 * 2 * 768 * 3072
    assert found["flops.total"] - DROPPED * feed_forward == 134_388_645_888
    routers = 6 * (512 + 128) * 2 * 768 * 8
    assert found["flops.total"] == mmspec.profile(mmspec.load("t5_base"))["flops.total"] + routers


@pytest.fixture
def dropped(monkeypatch):
    """How many tokens each call of our experts found no room for, in the order of calls."""
    counts = []
    admitted = Admit.forward

    def counted(admit, choice):
        result = admitted(admit, choice)
        counts.append(int((result == admit.experts).sum()))
        return result

    monkeypatch.setattr(Admit, "forward", counted)
    return counts
