"""LLaMA of transformers: grouped queries, rotary positions, SwiGLU."""

import torch
from peer import agree, price
from transformers import LlamaConfig, LlamaForCausalLM

SIZES = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
}
CACHE = {"use_cache": False}


def ids():
    return {"text": ("input_ids", torch.randint(0, 99, (2, 29), generator=torch.Generator().manual_seed(1)))}


def test_llama_computes_what_transformers_computes():
    agree(
        LlamaForCausalLM(LlamaConfig(**SIZES, rms_norm_eps=1e-5)), "llama_1b", ids(), {"next": "logits"}, theirs=CACHE
    )


def test_the_epsilon_of_every_norm_of_llama_is_the_published_one():
    reference = LlamaForCausalLM(LlamaConfig(**SIZES, rms_norm_eps=0.1))
    agree(reference, "llama_1b", ids(), {"next": "logits"}, theirs=CACHE, overrides=["encoders.text.norm_eps=0.1"])


def test_tokens_of_a_shorter_text_do_not_see_its_padding():
    present = torch.arange(29) < torch.tensor([[29], [11]])
    inputs = ids() | {"text_mask": ("attention_mask", present)}
    reference = LlamaForCausalLM(LlamaConfig(**SIZES, rms_norm_eps=1e-5))
    agree(reference, "llama_1b", inputs, {"next": "logits"}, theirs=CACHE)


def test_a_tied_llama_with_wide_heads_is_the_same_spec_with_two_fields():
    """As the small ones of Llama 3.2: the table is read again, and the heads are not the width over their number."""
    config = LlamaConfig(
        **SIZES, rms_norm_eps=1e-5, head_dim=16, tie_word_embeddings=True, rope_parameters=theta(500000.0)
    )
    overrides = [
        "encoders.text.head_width=16",
        "encoders.text.position={type: rotary, base: 500000.0}",
        "heads.next={type: language_model, from: [text, text.embedding], vocab_size: null}",
    ]
    agree(LlamaForCausalLM(config), "llama_1b", ids(), {"next": "logits"}, theirs=CACHE, overrides=overrides)


def theta(base):
    return {"rope_theta": base, "rope_type": "default"}


def test_llama_1b_costs_what_is_published():
    price("llama_1b", parameters=1_100_048_384, flops=1_106_490_949_632, N=512)


def test_llama_70b_costs_what_is_published():
    price("llama_70b", parameters=68_976_648_192, flops=292_444_323_184_640, N=2048)
