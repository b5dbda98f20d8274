"""Siblings of the shipped pyramids are specs: nothing but numbers and names of parts, no code.

Figures are those of transformers 5.23 for the same sizes, counted by torch's FlopCounterMode on meta tensors, attention eager.
"""

import pytest

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import read

HEADER = """
name: sibling
inputs: {{image: {{type: image, size: {size}}}}}
heads: {{label: {{type: classification, classes: 1000{head}}}}}
"""
SWIN_B = """
definitions: {stage: {type: transformer, position: relative_bias, attention: shifted_window}}
encoders:
  image:
    type: pyramid
    final_norm: true
    stages:
      - {use: stage, width: 128, depth: 2, heads: 4}
      - {use: stage, width: 256, depth: 2, heads: 8, downsample: merge}
      - {use: stage, width: 512, depth: 18, heads: 16, downsample: merge}
      - {use: stage, width: 1024, depth: 2, heads: 32, downsample: merge}
"""
CONVNEXT_B = """
definitions: {smaller: {type: patches, size: 2, norm_order: before, norm_eps: 1.0e-6}}
encoders:
  image:
    type: pyramid
    stem: {type: patches, size: 4, norm_eps: 1.0e-6}
    stages:
      - {type: convnext, width: 128, depth: 3}
      - {type: convnext, width: 256, depth: 3, downsample: {use: smaller}}
      - {type: convnext, width: 512, depth: 27, downsample: {use: smaller}}
      - {type: convnext, width: 1024, depth: 3, downsample: {use: smaller}}
"""
PVT_SMALL = """
definitions:
  smaller: {type: patches, size: 2, norm_eps: 1.0e-6}
  stage: {type: transformer, position: learned, norm_eps: 1.0e-6}
encoders:
  image:
    type: pyramid
    final_norm: true
    norm_eps: 1.0e-6
    stem: {type: patches, size: 4, norm_eps: 1.0e-6}
    stages:
      - {use: stage, width: 64, depth: 3, heads: 1, expansion: 8, attention: {type: spatial_reduction, ratio: 8}}
      - {use: stage, width: 128, depth: 4, heads: 2, expansion: 8, attention: {type: spatial_reduction, ratio: 4}, downsample: {use: smaller}}
      - {use: stage, width: 320, depth: 6, heads: 5, attention: {type: spatial_reduction, ratio: 2}, downsample: {use: smaller}}
      - {use: stage, width: 512, depth: 3, heads: 8, class_token: true, downsample: {use: smaller}}
"""
MOBILEVIT_XS = """
definitions: {stage: {type: mobilevit, downsample: inverted_residual}}
encoders:
  image:
    type: pyramid
    stem: {type: convolutions, widths: [16], activation: silu}
    stages:
      - {type: inverted_residual, width: 32, depth: 1}
      - {type: inverted_residual, width: 48, depth: 3, stride: 2}
      - {use: stage, width: 64, token_width: 96, depth: 2}
      - {use: stage, width: 80, token_width: 120, depth: 4}
      - {use: stage, width: 96, token_width: 144, depth: 3}
      - {type: convolution, width: 384, depth: 1, kernel: 1, activation: silu}
"""
RESNET = """
encoders:
  image:
    type: pyramid
    stem: {{type: convolutions, widths: [64], kernel: 7, pool: true}}
    stages:
      - {{type: residual, width: {0}, depth: {4}, bottleneck: {8}}}
      - {{type: residual, width: {1}, depth: {5}, stride: 2, bottleneck: {8}}}
      - {{type: residual, width: {2}, depth: {6}, stride: 2, bottleneck: {8}}}
      - {{type: residual, width: {3}, depth: {7}, stride: 2, bottleneck: {8}}}
"""
RESNET_50 = RESNET.format(256, 512, 1024, 2048, 3, 4, 6, 3, 4)
RESNET_18 = RESNET.format(64, 128, 256, 512, 2, 2, 2, 2, "null")


@pytest.mark.parametrize(
    ("body", "size", "head", "parameters", "flops"),
    [
        pytest.param(SWIN_B, 224, "", 87_768_224, 30_861_893_632, id="swin_b"),
        pytest.param(CONVNEXT_B, 224, ", norm: layer, norm_eps: 1.0e-12", 88_591_464, 30_709_458_944, id="convnext_b"),
        pytest.param(PVT_SMALL, 224, ", from: image.class", 24_485_864, 7_631_403_008, id="pvt_small"),
        pytest.param(MOBILEVIT_XS, 256, "", 2_317_848, 2_051_823_616, id="mobilevit_xs"),
        pytest.param(RESNET_50, 224, "", 25_557_032, 8_178_368_512, id="resnet_50"),
        pytest.param(RESNET_18, 224, "", 11_689_512, 3_628_146_688, id="resnet_18"),
    ],
)
def test_a_sibling_costs_what_is_published(body, size, head, parameters, flops):
    price = mmspec.profile(read(HEADER.format(size=size, head=head) + body, CATALOGUE))
    assert price["parameters.total"] == parameters
    assert price["flops.total"] == flops


def test_a_resnet_handed_over_to_a_vit_costs_what_timm_s_does():
    """vit_base_r50_s16_224 of timm 1.0, without its head."""
    price = mmspec.profile(mmspec.load("vit_b_r50_s16"))
    assert price["parameters.total"] == 97_890_112
    assert price["flops.total"] == 43_069_181_952
