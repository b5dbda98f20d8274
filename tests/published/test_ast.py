"""The Audio Spectrogram Transformer of transformers: a spectrogram as an image whose rows are frequencies."""

import pytest
import torch
from peer import agree, price
from transformers import ASTConfig, ASTForAudioClassification

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "patch_size": 8,
    "frequency_stride": 5,
    "time_stride": 5,
    "num_mel_bins": 24,
    "max_length": 40,
    "num_labels": 10,
}


def given():
    """Theirs has time before frequency: [B, frames, mels]."""
    sound = torch.randn(2, 1, 24, 40, generator=torch.Generator().manual_seed(1))
    return {"sound": (None, sound)}, {"input_values": sound[:, 0].mT.contiguous()}


@pytest.mark.parametrize("eps", [None, 0.1])
def test_ast_computes_what_transformers_computes(eps):
    """Once with an epsilon that shows: the blocks', the last one and the head's own."""
    fields = {} if eps is None else {"layer_norm_eps": eps}
    changed = [] if eps is None else [f"encoders.sound.norm_eps={eps}", f"heads.label.norm_eps={eps}"]
    inputs, theirs = given()
    reference = ASTForAudioClassification(ASTConfig(**SIZES, **fields))
    agree(reference, "ast_base", inputs, {"label": "logits"}, theirs=theirs, overrides=changed)


def test_ast_base_costs_what_is_published():
    price("ast_base", parameters=86_594_063, flops=261_028_747_776)


def test_other_strides_are_a_spec_and_no_code():
    """As many parameters but for positions: (128 - 16) / 16 + 1 = 8 rows of (1024 - 16) / 16 + 1 = 64 patches that do not overlap."""
    apart = 8 * 64
    overlapping = 12 * 101
    price(
        "ast_base",
        parameters=86_594_063 - (overlapping - apart) * 768,
        overrides=["encoders.sound.patch_stride=16"],
    )
