"""BERT of transformers, with its masked language head."""

import pytest
import torch
from peer import agree, compare_outputs, draw, price, written
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining

import mmspec
from mmspec.errors import UserError

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


def test_the_first_files_on_the_hub_load_to_the_same_weights(tmp_path):
    """bert-base-uncased: gamma and beta, a pooler, next-sentence prediction, one name for what is tied."""
    reference = BertForPreTraining(BertConfig(**SIZES))
    draw(reference)
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor.clone()
        for name, tensor in reference.state_dict().items()
        if not name.startswith("cls.predictions.decoder.")
    }
    assert "bert.embeddings.LayerNorm.gamma" in state and "cls.predictions.bias" in state
    save_file(state, tmp_path / "model.safetensors")
    model = mmspec.build(mmspec.load("bert_base", variant="small")).eval()
    loaded = mmspec.load_weights(model, tmp_path)
    assert [note.split(":")[0] for note in loaded.notes] == [
        "left out bert.pooler.dense.bias, bert.pooler.dense.weight",
        "left out cls.seq_relationship.bias, cls.seq_relationship.weight",
    ]
    outputs = {"masked": lambda theirs: theirs.prediction_logits}
    assert compare_outputs(model, reference.eval(), ids(), outputs, {}) < 1e-4


def test_what_a_checkpoint_ties_and_a_spec_does_not_is_copied_and_said(tmp_path):
    reference = BertForMaskedLM(BertConfig(**SIZES))
    draw(reference)
    reference.save_pretrained(tmp_path)  # which leaves out the second name
    heads = ["heads.masked={type: masked_language_model, vocab_size: 99, from: text}"]
    model = mmspec.build(mmspec.load("bert_base", heads, variant="small")).eval()
    loaded = mmspec.load_weights(model, tmp_path)
    assert any(
        "masked.output.weight is a copy of bert.embeddings.word_embeddings.weight" in note for note in loaded.notes
    )
    assert compare_outputs(model, reference.eval(), ids(), {"masked": "logits"}, {}) < 1e-4


def test_what_a_spec_ties_and_a_checkpoint_does_not_is_refused(tmp_path):
    reference = BertForMaskedLM(BertConfig(**SIZES, tie_word_embeddings=False))
    draw(reference)
    file = written(reference, tmp_path / "untied.safetensors")
    model = mmspec.build(mmspec.load("bert_base", variant="small"))
    with pytest.raises(
        UserError, match=r"two tensors that the model ties into one, and they differ: cls\.predictions\.decoder"
    ):
        mmspec.load_weights(model, file)


def test_a_shorter_text_takes_the_first_positions_and_a_longer_one_cannot_be_had(tmp_path):
    reference = BertForMaskedLM(BertConfig(**SIZES))
    draw(reference)
    file = written(reference, tmp_path / "state.safetensors")
    short = mmspec.build(mmspec.load("bert_base", ["inputs.text.length=20"], variant="small")).eval()
    loaded = mmspec.load_weights(short, file)
    assert loaded.notes == (
        "text.position has the first 20 rows of bert.embeddings.position_embeddings.weight, which has more",
    )
    given = {name: (theirs, x[:, :20]) for name, (theirs, x) in ids().items()}
    assert compare_outputs(short, reference.eval(), given, {"masked": "logits"}, {}) < 1e-4
    long = mmspec.build(mmspec.load("bert_base", ["inputs.text.length=40"], variant="small"))
    with pytest.raises(UserError, match=r"text\.position.*it has places for 32 tokens, and the spec asks for 40"):
        mmspec.load_weights(long, file)
