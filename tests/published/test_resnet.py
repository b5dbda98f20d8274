"""ResNets of transformers: the residual stages that hybrids hand over from."""

import pytest
import torch
from peer import agree
from transformers import ResNetConfig, ResNetForImageClassification

SPEC = """
name: resnet
inputs: {{image: {{type: image, size: 64}}}}
encoders:
  image:
    type: pyramid
    stem: {{type: convolutions, widths: [8], kernel: 7, pool: true}}
    stages:
      - {{type: residual, width: {0}, depth: 2, bottleneck: {2}}}
      - {{type: residual, width: {1}, depth: 2, stride: 2, bottleneck: {2}}}
heads: {{label: {{type: classification, classes: 10}}}}
"""


@pytest.mark.parametrize(("kind", "widths", "bottleneck"), [("bottleneck", [32, 48], 4), ("basic", [8, 16], None)])
def test_residual_stages_compute_what_transformers_resnet_computes(kind, widths, bottleneck):
    sizes = {"embedding_size": 8, "hidden_sizes": widths, "depths": [2, 2], "layer_type": kind, "num_labels": 10}
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    spec = SPEC.format(*widths, "null" if bottleneck is None else bottleneck)
    reference = ResNetForImageClassification(ResNetConfig(**sizes))
    agree(reference, spec, {"image": ("pixel_values", image)}, {"label": "logits"})
