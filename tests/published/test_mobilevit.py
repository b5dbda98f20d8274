"""MobileViT of transformers."""

import torch
from peer import agree, price
from transformers import MobileViTConfig, MobileViTForImageClassification

SIZES = {
    "image_size": 128,
    "hidden_sizes": [32, 48, 64],
    "neck_hidden_sizes": [16, 8, 16, 24, 32, 40, 64],
    "num_labels": 10,
}
BIG = ["inputs.image.size=128"]  # of 64 pixels the last stage would see a single patch


def small(**other):
    """The reference with as few transformer blocks as our small variant."""
    model = MobileViTForImageClassification(MobileViTConfig(**SIZES, **other))
    for stage, depth in ((3, 1), (4, 1)):
        del model.mobilevit.encoder.layer[stage].transformer.layer[depth:]
    return model


def pixels():
    return {"image": ("pixel_values", torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)))}


def test_mobilevit_computes_what_transformers_computes():
    agree(small(), "mobilevit_s", pixels(), {"label": "logits"}, overrides=BIG, published=False)


def test_the_epsilon_of_the_transformers_norms_is_the_published_one():
    overrides = [*BIG, *(f"encoders.image.stages.{i}.norm_eps=0.1" for i in (2, 3, 4))]
    agree(small(layer_norm_eps=0.1), "mobilevit_s", pixels(), {"label": "logits"}, overrides=overrides, published=False)


def test_mobilevit_s_costs_what_is_published():
    price("mobilevit_s", parameters=5_578_632, flops=4_001_662_976)
