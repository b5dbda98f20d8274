"""PVT (v1) of transformers: positions in every stage, a class token in the last."""

import torch
from peer import agree
from transformers import PvtConfig, PvtForImageClassification

SIZES = {
    "image_size": 64,
    "num_encoder_blocks": 2,
    "hidden_sizes": [16, 24],
    "depths": [1, 2],
    "num_attention_heads": [2, 3],
    "mlp_ratios": [4, 2],
    "sequence_reduction_ratios": [2, 1],
    "patch_sizes": [4, 2],
    "strides": [4, 2],
    "num_labels": 10,
}
SPEC = """
name: pvt
inputs: {image: {type: image, size: 64}}
definitions:
  stage: {type: transformer, position: learned, norm_eps: 1.0e-6}
encoders:
  image:
    type: pyramid
    final_norm: true
    norm_eps: 1.0e-6
    stem: {type: patches, size: 4, norm_eps: 1.0e-6}
    stages:
      - {use: stage, width: 16, depth: 1, heads: 2, attention: {type: spatial_reduction, ratio: 2}}
      - use: stage
        width: 24
        depth: 2
        heads: 3
        expansion: 2
        class_token: true
        downsample: {type: patches, size: 2, norm_eps: 1.0e-6}
heads: {label: {type: classification, classes: 10, from: image.class}}
"""


def test_pvt_computes_what_transformers_computes():
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    reference = PvtForImageClassification(PvtConfig(**SIZES))
    agree(reference, SPEC, {"image": ("pixel_values", image)}, {"label": "logits"})
