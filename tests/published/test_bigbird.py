"""BigBird of transformers, with its masked language head: block-sparse attention as it is at inference, and with random blocks."""

import numpy as np
import pytest
import torch
from peer import agree, draw, price
from transformers import BigBirdConfig, BigBirdForMaskedLM

import mmspec

SIZES = {
    "vocab_size": 99,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "max_position_embeddings": 96,
    "block_size": 8,
    "num_random_blocks": 3,
    "attention_type": "block_sparse",
}


def reference(**said):
    model = BigBirdForMaskedLM(BigBirdConfig(**SIZES, **said))
    model.bert.pooler.register_forward_hook(lambda module, inputs, output: setattr(model, "pooled", output.tanh()))
    return model


def ids(lengths):
    """Two texts of up to 96 tokens, twelve blocks."""
    longest = max(length for (length,) in lengths)
    text = torch.randint(1, 99, (2, longest), generator=torch.Generator().manual_seed(1))
    present = torch.arange(longest) < torch.tensor(lengths)
    return {"text": ("input_ids", text * present), "text_mask": ("attention_mask", present)}


def test_bigbird_computes_what_transformers_computes():
    model = reference()
    agree(model, "bigbird_base", ids([[96], [96]]), {"masked": "logits", "pooled": lambda theirs: model.pooled})


def test_the_epsilon_of_every_norm_of_bigbird_is_the_published_one():
    epsilons = ["encoders.text.norm_eps=0.1", "heads.masked.norm_eps=0.1"]
    agree(reference(layer_norm_eps=0.1), "bigbird_base", ids([[96], [96]]), {"masked": "logits"}, overrides=epsilons)


def pair(folder, **said):
    """The reference and ours with the same weights, ours with random blocks."""
    theirs = reference(**said)
    draw(theirs)
    theirs.save_pretrained(folder)
    ours = mmspec.build(mmspec.load("bigbird_base", ["encoders.text.attention.seed=0"], "small")).eval()
    mmspec.load_weights(ours, folder, layout="transformers")
    return theirs, ours


def drawn_by_them(theirs, length):
    """The random blocks of every layer, as `forward` draws them in training.   i64[h, blocks - 2, random] for each"""
    tables = []
    for layer in theirs.bert.encoder.layer:
        attention = layer.attention.self
        plan, counts = attention._get_rand_attn_plan(length, attention.block_size, attention.num_random_blocks)
        np.random.seed(attention.seed)  # noqa: NPY002  (it reads the global one)
        rows = attention._bigbird_block_rand_mask_with_head(
            length, length, attention.block_size, attention.block_size, attention.num_attention_heads, plan, counts
        )
        tables.append(torch.from_numpy(np.stack(rows)).long())
    return tables


@pytest.mark.parametrize("lengths", [[[96], [96]], [[90], [70]]], ids=["whole blocks", "padded"])
def test_with_the_random_blocks_that_bigbird_draws_in_training_it_computes_the_same(lengths, tmp_path):
    theirs, ours = pair(tmp_path, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    theirs.train()
    tables = drawn_by_them(theirs, 96)
    assert not all(table.equal(tables[0]) for table in tables) and tables[0].unique().numel() > 3
    for i, table in enumerate(tables):
        buffer = ours.get_buffer(f"text.blocks.{i}.attention.random_blocks")
        assert buffer.shape == table.shape
        buffer.copy_(table)
    inputs = ids(lengths)
    with torch.no_grad():
        found = ours(**{name: x for name, (_, x) in inputs.items()})["masked"]
        expected = theirs(**{name: x.long() for name, x in inputs.values()}).logits
    present = inputs["text_mask"][1]
    assert ((found - expected)[present].abs().max() / expected[present].std()).item() <= 1e-5
    ours.get_buffer("text.blocks.0.attention.random_blocks").copy_(tables[1])
    with torch.no_grad():
        other = ours(**{name: x for name, (_, x) in inputs.items()})["masked"]
    assert (other - expected)[present].abs().max() > 0.01 * expected.std(), (
        "the blocks that are drawn make no difference"
    )


def test_what_is_absent_is_seen_by_nobody_as_in_bigbird(tmp_path):
    theirs, ours = pair(tmp_path)
    for i in range(2):
        ours.get_buffer(f"text.blocks.{i}.attention.random_blocks").zero_()  # as theirs at inference
    inputs = ids([[95], [60]])
    with torch.no_grad():
        found = ours(**{name: x for name, (_, x) in inputs.items()})["masked"]
        expected = theirs.eval()(**{name: x.long() for name, x in inputs.values()}).logits
    present = inputs["text_mask"][1]
    assert ((found - expected)[present].abs().max() / expected[present].std()).item() <= 1e-5


def test_bigbird_base_costs_what_is_published():
    price("bigbird_base", parameters=128_111_286, flops=1_111_361_716_224)
