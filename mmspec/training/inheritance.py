"""Weights that a training begins with in place of fresh ones. Torch is not needed to say which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Inheritance:
    """Of another model, by our names.

    weights  a safetensors file: `model.safetensors` of a built or trained folder
    nodes    whose tensors are taken, all of them; the other nodes are drawn by the recipe's seed, as they are without
    """

    weights: Path
    nodes: tuple[str, ...]
