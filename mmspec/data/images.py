"""The small variation that training adds to pictures, and their resizing many at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """f32[B, C, h, w] -> f32[B, C, H, W], bilinear, smoothed where it shrinks: what `ImageColumn` does to a file."""
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


@dataclass(frozen=True)
class Variation:
    """The range of a small affine variation at strength 1; every amount is uniform between its negative and itself.

    turn, shear  degrees
    scale        part of the size: 0.05 draws between 0.95 and 1.05, for each axis by itself
    shift        part of the side: 0.04 moves a picture of 32 pixels by up to 1.3
    """

    turn: float = 5.0
    shear: float = 4.0
    scale: float = 0.05
    shift: float = 0.04


def vary(
    images: Tensor,
    size: tuple[int, int],
    strength: float,
    generator: torch.Generator,
    ranges: Variation = Variation(),
) -> Tensor:
    """A random affine view of each image, resized to `size` in the same step; f32[B, C, h, w] -> f32[B, C, H, W].

    One bilinear sampling for the whole batch. What lies outside repeats the edge. Strength 0 is plain bilinear
    resizing (for enlarging; nothing is smoothed when the target is smaller).
    """
    count = images.shape[0]
    draws = (torch.rand(6, count, generator=generator) * 2 - 1) * strength
    turn = draws[0] * math.radians(ranges.turn)
    shear = torch.tan(draws[1] * math.radians(ranges.shear))
    wide, high = 1 + draws[2] * ranges.scale, 1 + draws[3] * ranges.scale
    right, down = draws[4] * 2 * ranges.shift, draws[5] * 2 * ranges.shift  # the grid's side is 2
    cos, sin = torch.cos(turn), torch.sin(turn)
    rows = [
        torch.stack([wide * cos, shear * cos - high * sin, right], dim=1),
        torch.stack([wide * sin, shear * sin + high * cos, down], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), [count, images.shape[1], *size], align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
