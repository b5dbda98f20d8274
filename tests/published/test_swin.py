"""Swin of transformers."""

import torch
from peer import agree, draw, price, written
from transformers import SwinConfig, SwinForImageClassification

import mmspec

SIZES = {
    "image_size": 64,
    "embed_dim": 24,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
    "num_labels": 10,
}


def pixels(side=64):
    return {"image": ("pixel_values", torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1)))}


def test_swin_computes_what_transformers_computes():
    agree(SwinForImageClassification(SwinConfig(**SIZES)), "swin_t", pixels(), {"label": "logits"})


def test_the_epsilon_of_the_norms_of_swin_s_blocks_is_the_published_one():
    """Those of the stem, of merging and at the end keep torch's in the reference, whatever its configuration says."""
    reference = SwinForImageClassification(SwinConfig(**SIZES, layer_norm_eps=0.1))
    overrides = [f"encoders.image.stages.{i}.norm_eps=0.1" for i in range(2)]
    found = agree(
        reference, "swin_t", pixels(), {"label": "logits"}, overrides=[*overrides, "encoders.image.norm_eps=0.1"]
    )
    assert found < 1e-4


def test_maps_that_windows_do_not_tile_are_padded_as_published():
    """A map of 14 x 14 in windows of 4, and one of 7 x 7 that is merged from an odd one."""
    reference = SwinForImageClassification(SwinConfig(**{**SIZES, "image_size": 52}))
    pad = "{type: shifted_window, window: 4, pad: true}"
    overrides = ["inputs.image.size=52", *(f"encoders.image.stages.{i}.attention={pad}" for i in range(2))]
    overrides += ["encoders.image.stages.1.downsample={type: merge, pad: true}"]
    agree(reference, "swin_t", pixels(52), {"label": "logits"}, overrides=overrides)


def test_swin_t_costs_what_is_published():
    price("swin_t", parameters=28_288_354, flops=8_981_133_312)


def test_tables_of_another_window_are_interpolated_as_images_of_heads(tmp_path):
    reference = SwinForImageClassification(SwinConfig(**SIZES))
    draw(reference)
    wide = [f"encoders.image.stages.{i}.attention.window=8" for i in range(2)]
    model = mmspec.build(mmspec.load("swin_t", wide, variant="small"))
    loaded = mmspec.load_weights(model, written(reference, tmp_path / "state.safetensors"))
    adapted = [note for note in loaded.notes if "is interpolated" in note]
    assert len(adapted) == 2 and all(".blocks.0-1." in note and "15 x 15" in note for note in adapted)
    name = "swin.encoder.layers.1.blocks.0.attention.relative_position_bias.relative_position_bias_table"
    table = reference.state_dict()[name].T.reshape(1, 4, 7, 7)
    expected = torch.nn.functional.interpolate(table, size=(15, 15), mode="bicubic", align_corners=False)
    found = model.state_dict()["image.stage2.blocks.0.attention.relative_bias"]
    assert torch.allclose(found, expected.reshape(4, 225).T)
