"""TimeSformer of transformers: divided space-time attention, and joint."""

import pytest
import torch
from peer import agree, price
from transformers import TimesformerConfig, TimesformerForVideoClassification

SIZES = {
    "image_size": 32,
    "patch_size": 8,
    "num_frames": 3,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "num_labels": 10,
}
JOINT = ["encoders.clip.space_time=joint", "encoders.clip.time_projection=false"]


def clip():
    return {"clip": ("pixel_values", torch.randn(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1)))}


def reference(**fields):
    return TimesformerForVideoClassification(TimesformerConfig(**SIZES, **fields))


def test_timesformer_computes_what_transformers_computes():
    agree(reference(), "timesformer_base", clip(), {"label": "logits"})


def test_with_joint_attention_too():
    agree(
        reference(attention_type="joint_space_time"), "timesformer_base", clip(), {"label": "logits"}, overrides=JOINT
    )


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_the_epsilon_of_every_norm_is_the_published_one(qkv_bias):
    changed = ["encoders.clip.norm_eps=0.1", f"encoders.clip.qkv_bias={str(qkv_bias).lower()}"]
    theirs = reference(layer_norm_eps=0.1, qkv_bias=qkv_bias)
    agree(theirs, "timesformer_base", clip(), {"label": "logits"}, overrides=changed)


def test_timesformer_base_costs_what_is_published():
    price("timesformer_base", parameters=121_566_352, flops=391_660_560_384)
