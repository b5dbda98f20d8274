"""BERT of transformers, with its masked language head."""

import torch
from peer import agree, price
from transformers import BertConfig, BertForMaskedLM

SIZES = {
    "vocab_size": 99,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "max_position_embeddings": 32,
}


def ids():
    """Two texts, the second one padded."""
    text = torch.randint(1, 99, (2, 32), generator=torch.Generator().manual_seed(1))
    present = torch.arange(32) < torch.tensor([[32], [20]])
    return {"text": ("input_ids", text * present), "text_mask": ("attention_mask", present)}


def test_bert_computes_what_transformers_computes():
    agree(BertForMaskedLM(BertConfig(**SIZES)), "bert_base", ids(), {"masked": "logits"})


def test_the_epsilon_of_every_norm_of_bert_is_the_published_one():
    epsilons = ["encoders.text.norm_eps=0.1", "heads.masked.norm_eps=0.1"]
    agree(
        BertForMaskedLM(BertConfig(**SIZES, layer_norm_eps=0.1)),
        "bert_base",
        ids(),
        {"masked": "logits"},
        overrides=epsilons,
    )


def test_bert_base_costs_what_is_published():
    price("bert_base", parameters=109_514_298, flops=121_244_221_440)
