"""Vision transformers of transformers: ViT, distilled DeiT."""

import torch
from peer import agree, price
from transformers import DeiTConfig, DeiTForImageClassificationWithTeacher, ViTConfig, ViTForImageClassification

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "image_size": 32,
    "patch_size": 8,
    "num_labels": 10,
}


def pixels():
    return {"image": ("pixel_values", torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)))}


def test_vit_computes_what_transformers_computes():
    agree(ViTForImageClassification(ViTConfig(**SIZES)), "vit_b16", pixels(), {"label": "logits"})


def test_the_epsilon_of_every_norm_of_vit_is_the_published_one():
    reference = ViTForImageClassification(ViTConfig(**SIZES, layer_norm_eps=0.1))
    agree(reference, "vit_b16", pixels(), {"label": "logits"}, overrides=["encoders.image.norm_eps=0.1"])


def test_distilled_deit_answers_with_the_mean_of_both_heads():
    outputs = {"label": "logits", "supervised": "cls_logits", "distilled": "distillation_logits"}
    agree(DeiTForImageClassificationWithTeacher(DeiTConfig(**SIZES)), "deit_b16_distilled", pixels(), outputs)


def test_vit_b16_costs_what_is_published():
    price("vit_b16", parameters=86_567_656, flops=35_127_656_448)


def test_distilled_deit_b16_costs_what_is_published():
    price("deit_b16_distilled", parameters=87_338_192, flops=35_313_623_040)
