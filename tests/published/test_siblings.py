"""Published networks that no spec of ours names: another size, norm or token is a field, and no new code.

Parameters are the published ones, FLOPs those of transformers 5.23 on the meta device; ViT_C's, which it does not have, are table 2
of arXiv:2106.14881, in millions and billions of multiply-adds.
"""

import pytest

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import read

LARGE = {"width": 1024, "depth": 24, "heads": 16}
SMALL = {"width": 384, "depth": 12, "heads": 6}
CLIP = {"patch_size": 14, "patch_bias": False, "embedding_norm": True, "activation": "quick_gelu"}
DINOV2 = {"patch_size": 14, "layer_scale": 1.0, "registers": 4, "width": 768, "depth": 12, "heads": 12}


@pytest.mark.parametrize(
    ("name", "base", "size", "fields", "parameters", "flops"),
    [
        ("ViT-L/16", "vit_b16", 224, LARGE, 304_326_632, 123_109_425_152),
        ("ViT-S/16", "vit_b16", 224, SMALL, 22_050_664, 9_197_764_608),
        ("DeiT-S/16 distilled", "deit_b16_distilled", 224, SMALL, 22_436_432, 9_248_280_576),
        ("CLIP ViT-L/14 tower", "dino_s16", 224, {**LARGE, **CLIP}, 303_179_776, 162_023_964_672),
        # without its mask token, which only masked modelling reads
        ("DINOv2 ViT-B/14 with registers", "dino_s16", 518, DINOV2, 86_583_552 - 768, 304_231_532_544),
    ],
)
def test_a_sibling_is_a_spec(name, base, size, fields, parameters, flops):
    overrides = [
        f"inputs.image.size={size}",
        *(f"encoders.image.{key}={value}".lower() for key, value in fields.items()),
    ]
    price = mmspec.profile(mmspec.load(base, overrides))
    assert (price["parameters.total"], price["flops.total"]) == (parameters, flops), name


@pytest.mark.parametrize(
    ("tokens", "widths", "strides", "millions", "billions"),
    [
        ("width: 192, heads: 3, expansion: 3", [24, 48, 96, 192], [2, 2, 2, 2], 4.6, 1.1),
        ("width: 384, heads: 6, expansion: 3", [48, 96, 192, 384], [2, 2, 2, 2], 17.8, 4.0),
        ("width: 768, heads: 12, expansion: 4", [64, 128, 128, 256, 256, 512], [2, 2, 1, 2, 1, 2], 81.6, 17.7),
    ],
)
def test_a_convolutional_stem_makes_a_vit_the_published_vit_c(tokens, widths, strides, millions, billions):
    spec = read(
        f"""
        name: vit_c
        inputs: {{image: {{type: image, size: 224}}}}
        encoders:
          stem: {{type: conv_stem, from: image, widths: {widths}, strides: {strides}}}
          tokens: {{type: vit, from: stem, patch_size: 1, depth: 11, class_token: true, {tokens}}}
        heads: {{label: {{type: classification, classes: 1000, from: tokens.class}}}}
        """,
        CATALOGUE,
    )
    price = mmspec.profile(spec)
    assert round(price["parameters.total"] / 1e6, 1) == millions
    assert round(price["flops.total"] / 2e9, 1) == billions
