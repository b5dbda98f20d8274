"""Networks that are not among the shipped specs: other sizes, positions and norms are other fields, and no code.

Parameters as published (the files on the Hub; RoBERTa's table of 514 places has two that no text reaches), unique ones.
"""

import pytest

import mmspec


def text(**fields):
    return [f"encoders.text.{name}={value}" for name, value in fields.items()]


def both(**fields):
    return [f"{node}.{name}={value}" for node in ("encoders.text", "decoders.answer") for name, value in fields.items()]


def vocabulary(size, head=""):
    return [f"inputs.text.vocab_size={size}", *([f"heads.{head}.vocab_size={size}"] if head else [])]


OWN_MATRIX = ["heads.next={type: language_model, from: answer, vocab_size: 32128, scaled: false}"]
GATED = both(gated="true", activation="gelu_tanh", hidden=1024)
TIED = ["heads.next={type: language_model, from: [text, text.embedding], vocab_size: null}"]

SIBLINGS = {
    "bert-large-uncased": ("bert_base", text(width=1024, depth=24, heads=16), 335_174_458),
    "roberta-base": ("bert_base", [*text(token_types=1), *vocabulary(50265), "inputs.text.length=514"], 124_697_433),
    "distilgpt2": ("gpt2_small", text(depth=6), 81_912_576),
    "gpt2-medium": ("gpt2_small", text(width=1024, depth=24, heads=16), 354_823_168),
    "gpt2-xl": ("gpt2_small", text(width=1600, depth=48, heads=25), 1_557_611_200),
    "t5-small": ("t5_base", both(width=512, depth=6, heads=8, hidden=2048), 60_506_624),
    "t5-large": ("t5_base", both(width=1024, depth=24, heads=16, hidden=4096), 737_668_096),
    "t5-v1_1-small": ("t5_base", [*both(width=512, depth=8, heads=6), *GATED, *OWN_MATRIX], 76_961_152),
    "llama-7b": ("llama_1b", text(width=4096, depth=32, heads=32, kv_heads=32, hidden=11008), 6_738_415_616),
    "llama-3-8b": (
        "llama_1b",
        [*text(width=4096, depth=32, kv_heads=8, hidden=14336), *vocabulary(128256, "next")],
        8_030_261_248,
    ),
    "llama-3.2-1b": ("llama_1b", [*text(depth=16, kv_heads=8, hidden=8192), *vocabulary(128256), *TIED], 1_235_814_400),
    "qwen2-0.5b": (
        "llama_1b",
        [*text(width=896, depth=24, heads=14, kv_heads=2, hidden=4864, qkv_bias="true"), *vocabulary(151936), *TIED],
        494_032_768,
    ),
    "mistral-7b": ("llama_1b", text(width=4096, depth=32, kv_heads=8, hidden=14336), 7_241_732_096),
    "mixtral-8x22b": ("mixtral_8x7b", text(width=6144, depth=56, heads=48, hidden=16384), 140_620_634_112),
}


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_sibling_is_a_spec_and_has_the_published_number_of_parameters(name):
    base, overrides, parameters = SIBLINGS[name]
    assert mmspec.profile(mmspec.load(base, overrides))["parameters.total"] == parameters


def test_the_gated_t5_costs_what_is_published():
    """512 tokens in and 128 out, counted by torch on transformers' T5ForConditionalGeneration of that size."""
    base, overrides, _ = SIBLINGS["t5-v1_1-small"]
    assert mmspec.profile(mmspec.load(base, overrides))["flops.total"] == 36_624_662_528
