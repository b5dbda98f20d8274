"""GPT-2 of transformers, whose one table reads tokens and writes them."""

import torch
from peer import agree, compare_outputs, draw, price
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

import mmspec

SIZES = {
    "vocab_size": 99,
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
CACHE = {"use_cache": False}


def ids():
    return {"text": ("input_ids", torch.randint(0, 99, (2, 32), generator=torch.Generator().manual_seed(1)))}


def test_gpt2_computes_what_transformers_computes():
    agree(GPT2LMHeadModel(GPT2Config(**SIZES)), "gpt2_small", ids(), {"next": "logits"}, theirs=CACHE)


def test_the_epsilon_of_every_norm_of_gpt2_is_the_published_one():
    reference = GPT2LMHeadModel(GPT2Config(**SIZES, layer_norm_epsilon=0.1))
    agree(reference, "gpt2_small", ids(), {"next": "logits"}, theirs=CACHE, overrides=["encoders.text.norm_eps=0.1"])


def test_gpt2_small_costs_what_is_published():
    price("gpt2_small", parameters=124_439_808, flops=291_648_307_200)


def test_the_file_on_the_hub_loads_to_the_same_weights(tmp_path):
    """openai-community/gpt2: no prefix, no head of its own, and the causal masks as buffers."""
    reference = GPT2LMHeadModel(GPT2Config(**SIZES))
    draw(reference)
    state = {
        name.removeprefix("transformer."): t.clone()
        for name, t in reference.state_dict().items()
        if name != "lm_head.weight"
    }
    state |= {f"h.{i}.attn.bias": torch.ones(1, 1, 32, 32).tril() for i in range(2)}
    save_file(state, tmp_path / "model.safetensors")
    model = mmspec.build(mmspec.load("gpt2_small", variant="small")).eval()
    loaded = mmspec.load_weights(model, tmp_path)
    assert loaded.notes == ("left out h.0-1.attn.bias: the causal mask, which older files hold",)
    assert compare_outputs(model, reference.eval(), ids(), {"next": "logits"}, CACHE) < 1e-4
