"""PVT v2 of transformers."""

import torch
from peer import agree, price
from transformers import PvtV2Config, PvtV2ForImageClassification

SIZES = {
    "image_size": 64,
    "num_encoder_blocks": 2,
    "hidden_sizes": [16, 24],
    "depths": [2, 2],
    "num_attention_heads": [2, 3],
    "mlp_ratios": [4, 2],
    "sr_ratios": [4, 1],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_labels": 10,
}


def pixels():
    return {"image": ("pixel_values", torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)))}


def test_pvt_v2_computes_what_transformers_computes():
    agree(PvtV2ForImageClassification(PvtV2Config(**SIZES)), "pvt_v2_b2", pixels(), {"label": "logits"})


def test_the_epsilon_of_every_norm_of_pvt_v2_is_the_published_one():
    reference = PvtV2ForImageClassification(PvtV2Config(**SIZES, layer_norm_eps=0.1))
    norms = [
        "stem.norm_eps",
        "stages.0.norm_eps",
        "stages.0.attention.norm_eps",
        "stages.1.norm_eps",
        "stages.1.downsample.norm_eps",
    ]
    overrides = [f"encoders.image.{norm}=0.1" for norm in norms]
    agree(reference, "pvt_v2_b2", pixels(), {"label": "logits"}, overrides=overrides)


def test_pvt_v2_b2_costs_what_is_published():
    price("pvt_v2_b2", parameters=25_362_856, flops=8_053_469_184)
