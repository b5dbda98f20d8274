"""DINO's backbone, and DINOv2's with registers, of transformers. DINO's projection head is in no library: its formula is held to
in tests/meaning/test_self_distillation.py."""

import torch
from peer import agree, price
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel, ViTConfig, ViTModel

import mmspec

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
TOKENS = {"image": "last_hidden_state"}
# the same encoder with layer scale and registers
DINOV2 = ["encoders.image.layer_scale=1.0", "encoders.image.registers=4"]


def pixels():
    return {"image": ("pixel_values", torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)))}


def test_dino_computes_what_transformers_computes():
    reference = ViTModel(ViTConfig(**SIZES, intermediate_size=192, layer_norm_eps=1e-6), add_pooling_layer=False)
    agree(reference, "dino_s16", pixels(), TOKENS)


def test_the_epsilon_of_every_norm_of_dino_is_the_published_one():
    reference = ViTModel(ViTConfig(**SIZES, intermediate_size=192, layer_norm_eps=0.1), add_pooling_layer=False)
    agree(reference, "dino_s16", pixels(), TOKENS, overrides=["encoders.image.norm_eps=0.1"])


def test_registers_and_layer_scale_of_dinov2_are_fields():
    reference = Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(**SIZES)
    )  # its mask token is for masked modelling only
    mask_token = ["embeddings.mask_token"]
    agree(reference, "dino_s16", pixels(), TOKENS, overrides=DINOV2, layout="transformers/dinov2", ignore=mask_token)


def test_dino_s16_costs_what_is_published():
    price("dino_s16", parameters=21_665_664, flops=9_196_996_608)


def test_teaching_costs_two_views_of_student_and_teacher_and_eight_small_ones():
    small = mmspec.profile(mmspec.load("dino_s16", ["inputs.image.size=96"]))["flops.total"]
    flops = 4 * (9_196_996_608 + 2 * PRODUCTS) + 8 * (small + 2 * PRODUCTS)
    price("dino_s16_teaching", parameters=2 * (21_665_664 + HEAD), flops=flops)


PRODUCTS = 384 * 2048 + 2048 * 2048 + 2048 * 256 + 256 * 65536
HEAD = PRODUCTS + 2048 + 2048 + 256  # biases; a prototype has none, and its length is 1


def test_the_teachers_half_is_not_trained():
    trained = [
        p.parameter.size
        for p in mmspec.ir.parameters(mmspec.lower(mmspec.load("dino_s16_teaching")))
        if p.parameter.trainable
    ]
    assert sum(trained) == 21_665_664 + HEAD
