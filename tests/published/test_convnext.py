"""ConvNeXt of transformers."""

import torch
from peer import agree, price
from transformers import ConvNextConfig, ConvNextForImageClassification

SIZES = {"image_size": 64, "num_stages": 2, "hidden_sizes": [16, 24], "depths": [1, 2], "num_labels": 10}


def pixels():
    return {"image": ("pixel_values", torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)))}


def test_convnext_computes_what_transformers_computes():
    agree(ConvNextForImageClassification(ConvNextConfig(**SIZES)), "convnext_t", pixels(), {"label": "logits"})


def test_the_norm_before_the_head_has_an_epsilon_of_its_own():
    reference = ConvNextForImageClassification(ConvNextConfig(**SIZES, layer_norm_eps=0.1))
    agree(reference, "convnext_t", pixels(), {"label": "logits"}, overrides=["heads.label.norm_eps=0.1"])


def test_convnext_t_costs_what_is_published():
    price("convnext_t", parameters=28_589_128, flops=8_911_062_528)
