"""A small vision transformer with published names, made without transformers: names and shapes are all that loading looks at."""

import torch

from mmspec.components import CATALOGUE
from mmspec.spec import read

SPEC = """\
name: tiny
inputs:
  image: {type: image, size: 16, channels: 3}
encoders:
  image: {type: vit, patch_size: 4, width: 8, depth: 2, heads: 2, class_token: true}
heads:
  label: {type: classification, classes: 3, from: image.class}
"""


def vit_names(width=8, depth=2, classes=3, patch=4, places=17, channels=3):
    """A state dict as ViTForImageClassification has it."""
    shapes = {
        "vit.embeddings.cls_token": (1, 1, width),
        "vit.embeddings.position_embeddings": (1, places, width),
        "vit.embeddings.patch_embeddings.projection.weight": (width, channels, patch, patch),
        "vit.embeddings.patch_embeddings.projection.bias": (width,),
        "vit.layernorm.weight": (width,),
        "vit.layernorm.bias": (width,),
        "classifier.weight": (classes, width),
        "classifier.bias": (classes,),
    }
    for i in range(depth):
        for norm in ("layernorm_before", "layernorm_after"):
            shapes |= {f"vit.layers.{i}.{norm}.{p}": (width,) for p in ("weight", "bias")}
        for part in "qkvo":
            shapes[f"vit.layers.{i}.attention.{part}_proj.weight"] = (width, width)
            shapes[f"vit.layers.{i}.attention.{part}_proj.bias"] = (width,)
        shapes |= {f"vit.layers.{i}.mlp.fc1.weight": (4 * width, width), f"vit.layers.{i}.mlp.fc1.bias": (4 * width,)}
        shapes |= {f"vit.layers.{i}.mlp.fc2.weight": (width, 4 * width), f"vit.layers.{i}.mlp.fc2.bias": (width,)}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def tiny(text=SPEC, *overrides):
    return read(text, CATALOGUE, overrides=overrides)
