"""Mixtral of transformers: every token meets two experts of its layer."""

import torch
from peer import agree, price
from transformers import MixtralConfig, MixtralForCausalLM

SIZES = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"},
}
CACHE = {"use_cache": False}


def ids():
    return {"text": ("input_ids", torch.randint(0, 99, (2, 29), generator=torch.Generator().manual_seed(1)))}


def test_mixtral_computes_what_transformers_computes():
    reference = MixtralForCausalLM(MixtralConfig(**SIZES, rms_norm_eps=1e-5))
    agree(reference, "mixtral_8x7b", ids(), {"next": "logits"}, theirs=CACHE)


def test_the_epsilon_of_every_norm_of_mixtral_is_the_published_one():
    reference = MixtralForCausalLM(MixtralConfig(**SIZES, rms_norm_eps=0.1))
    agree(reference, "mixtral_8x7b", ids(), {"next": "logits"}, theirs=CACHE, overrides=["encoders.text.norm_eps=0.1"])


def test_mixtral_8x7b_costs_what_is_published():
    found = price("mixtral_8x7b", parameters=46_702_792_704, flops=13_191_992_049_664, N=512)
    assert found["parameters.active"] == 12_879_925_248
