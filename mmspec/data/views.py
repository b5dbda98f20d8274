"""Views of a picture: parts of it, drawn anew at every step of training, for an input that says `views` or `area`.

    part         a share of the picture's area, uniform within the input's `area`; sides of a ratio from 3/4 to 4/3, uniform in its
                 logarithm; anywhere inside the picture
    mirrored     every other one, where the input says `mirror`
    light        x = b (m + c (x - m)), m the view's mean, b and c uniform within 1 +- 0.4, at strength 1

The part is brought to the input's size by one bilinear sampling.

Source   the multi-crop of arXiv:2006.09882, sec. 3.3, as in arXiv:2104.14294, sec. 3.1
Differs  neither hue, nor blur, nor solarisation
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mmspec.reading.images import normalise
from mmspec.reading.views import ViewsColumn

RATIO = 4 / 3
LIGHT = 0.4


def drawn(column: ViewsColumn, pictures: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """A random part in each view: f32[B, C, h, w] in [0, 1] -> f32[B, V, C, H, W], normalised."""
    count = len(pictures) * column.views
    draws = torch.rand(7, count, generator=generator)
    share = column.area[0] + draws[0] * (column.area[1] - column.area[0])
    ratio = torch.exp((2 * draws[1] - 1) * math.log(RATIO))
    wide, high = (share * ratio).sqrt().clamp(max=1), (share / ratio).sqrt().clamp(max=1)
    right, down = (2 * draws[2] - 1) * (1 - wide), (2 * draws[3] - 1) * (1 - high)  # the grid's side is 2
    side = torch.where(draws[4] < 0.5, -wide, wide) if column.mirror else wide
    none = torch.zeros(count)
    rows = torch.stack([side, none, right], dim=1), torch.stack([none, high, down], dim=1)
    grid = functional.affine_grid(torch.stack(rows, dim=1), [count, column.channels, *column.size], align_corners=False)
    copies = pictures.repeat_interleave(column.views, dim=0)
    parts = functional.grid_sample(copies, grid, mode="bilinear", padding_mode="border", align_corners=False)
    parts = _in_another_light(parts, 1 + (2 * draws[5:] - 1) * LIGHT * strength)
    seen = normalise(parts)
    return seen if column.single else seen.view(-1, column.views, *seen.shape[1:])


def _in_another_light(x: Tensor, amounts: Tensor) -> Tensor:
    """f32[B, C, H, W], f32[2, B] -> f32[B, C, H, W]"""
    brightness, contrast = amounts[:, :, None, None, None]
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    changed: Tensor = brightness * (mean + contrast * (x - mean))
    return changed.clamp(0, 1)
