"""T5 of transformers: 1.0, whose one table is read three times, and 1.1, gated and with a matrix of its own at the end."""

import torch
from peer import agree, price
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

import mmspec

SIZES = {
    "vocab_size": 99,
    "d_model": 48,
    "d_kv": 8,
    "d_ff": 96,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
CACHE = {"use_cache": False}
NEWER = [
    "heads.next={type: language_model, from: answer, vocab_size: 99, scaled: false}",
    *(
        f"{node}.{field}"
        for node in ("encoders.text", "decoders.answer")
        for field in ("gated=true", "activation=gelu_tanh")
    ),
]


def ids():
    """Two texts, the second one padded, and what is written about them, from the id of padding on."""
    draw = torch.Generator().manual_seed(1)
    present = torch.arange(31) < torch.tensor([[31], [20]])
    text = torch.randint(1, 99, (2, 31), generator=draw) * present
    target = torch.cat([torch.zeros(2, 1, dtype=torch.int64), torch.randint(1, 99, (2, 12), generator=draw)], dim=1)
    return {
        "text": ("input_ids", text),
        "text_mask": ("attention_mask", present),
        "target": ("decoder_input_ids", target),
    }


def test_t5_computes_what_transformers_computes():
    agree(T5ForConditionalGeneration(T5Config(**SIZES)), "t5_base", ids(), {"next": "logits"}, theirs=CACHE)


def test_the_epsilon_of_every_norm_of_t5_is_the_published_one():
    reference = T5ForConditionalGeneration(T5Config(**SIZES, layer_norm_epsilon=0.1))
    overrides = ["encoders.text.norm_eps=0.1", "decoders.answer.norm_eps=0.1"]
    agree(reference, "t5_base", ids(), {"next": "logits"}, theirs=CACHE, overrides=overrides)


def test_far_tokens_share_the_buckets_that_transformers_gives_them():
    """Longer than `largest`: every bucket of both directions is met."""
    draw = torch.Generator().manual_seed(2)
    inputs = {
        "text": ("input_ids", torch.randint(1, 99, (1, 300), generator=draw)),
        "target": ("decoder_input_ids", torch.randint(1, 99, (1, 290), generator=draw)),
    }
    overrides = ["inputs.text.length=300", "inputs.target.length=290"]
    agree(
        T5ForConditionalGeneration(T5Config(**SIZES)),
        "t5_base",
        inputs,
        {"next": "logits"},
        theirs=CACHE,
        overrides=overrides,
    )


def test_t5_1_1_is_gated_and_writes_with_a_matrix_of_its_own():
    config = T5Config(**SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    reference = T5ForConditionalGeneration(config)
    reference.lm_head.weight = nn.Parameter(
        reference.lm_head.weight.clone()
    )  # transformers 5 ties it whatever one says
    agree(reference, "t5_base", ids(), {"next": "logits"}, theirs=CACHE, overrides=NEWER, published=False)


def test_t5_base_costs_what_is_published():
    price("t5_base", parameters=222_903_552, flops=145_835_950_080)


def test_the_start_of_a_target_is_read_although_it_is_the_id_of_padding():
    spec = mmspec.load("t5_base", variant="small")
    model = mmspec.build(spec).eval()
    text, target = ids()["text"][1], ids()["target"][1]
    shorter = torch.cat([target[:, :5], torch.zeros(2, 8, dtype=torch.int64)], dim=1)
    with torch.no_grad():
        whole = model(text=text, target=target)["next"]
        padded = model(text=text, target=shorter)["next"]
        masked = model(text=text, target=target, target_mask=torch.ones_like(target, dtype=torch.bool))["next"]
    torch.testing.assert_close(whole, masked)
    torch.testing.assert_close(padded[:, :5], whole[:, :5])
