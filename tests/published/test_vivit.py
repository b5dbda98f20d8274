"""ViViT of transformers, a sibling of TimeSformer that is a spec and no code: tubelets, and every token sees the whole clip."""

import torch
from peer import agree, ours_of
from transformers import VivitConfig, VivitForVideoClassification

import mmspec

SPEC = """
name: vivit_b
inputs: {clip: {type: video, frames: 32, size: 224}}
encoders:
  clip: {type: video_transformer, space_time: joint, time_position: none, tubelet: 2, patch_size: 16, width: 768, depth: 12,
         heads: 12, class_token: true, activation: gelu_tanh, norm_eps: 1.0e-6}
heads: {label: {type: classification, classes: 2, from: clip.class}}
"""
SIZES = {
    "image_size": 32,
    "num_frames": 6,
    "tubelet_size": [2, 8, 8],
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
}
SMALL = [
    "inputs.clip={type: video, frames: 6, size: 32}",
    *(f"encoders.clip.{size}" for size in ("patch_size=8", "width=48", "depth=2", "heads=4")),
]


def test_vivit_computes_what_transformers_computes():
    clip = torch.randn(2, 6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    reference = VivitForVideoClassification(VivitConfig(**SIZES))
    agree(reference, SPEC, {"clip": ("pixel_values", clip)}, {"label": "logits"}, overrides=SMALL)


def test_vivit_b_has_as_many_parameters_as_is_published():
    with torch.device("meta"):
        reference = VivitForVideoClassification(VivitConfig())
    assert mmspec.profile(ours_of(SPEC))["parameters.total"] == sum(p.numel() for p in reference.parameters())
