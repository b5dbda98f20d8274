"""Views of a picture: parts of it, drawn anew at every step of training, for an input that says `views` or `area`.

    part         a share of the picture's area, uniform within the input's `area`; sides of a ratio from 3/4 to 4/3, uniform in its
                 logarithm; anywhere inside the picture
    mirrored     every other one, where the input says `mirror`
    light        x = b (m + c (x - m)), m the view's mean, b and c uniform within 1 +- 0.4, at strength 1

The part is brought to the input's size by one bilinear sampling. To be measured, a model sees the whole picture in every view.

Source   the multi-crop of arXiv:2006.09882, sec. 3.3, as in arXiv:2104.14294, sec. 3.1
Differs  neither hue, nor blur, nor solarisation
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mmspec.data.images import ImageColumn, normalise, resized

AREA = (0.4, 1.0)  # of several views, where a spec says nothing
RATIO = 4 / 3
LIGHT = 0.4


@dataclass(frozen=True)
class ViewsColumn:
    """How an input of type `image` with `views` or an `area` is read.   single: without an axis for views"""

    picture: ImageColumn
    views: int = 1
    area: tuple[float, float] = AREA
    mirror: bool = False
    single: bool = False

    is_file = True

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.height, self.picture.width

    @property
    def channels(self) -> int:
        return self.picture.channels

    def read(self, path: str | Path) -> Tensor:
        """u8[C, h, w] of a file: large enough that the smallest part of it has as many pixels as a view.

        Raises   OSError, ValueError: with a message of a few words, when it cannot be read.
        """
        height, width = (math.ceil(side / math.sqrt(self.area[0])) for side in self.size)
        return ImageColumn(height, width, self.channels).read(path)

    def batch(self, examples: Sequence[Tensor]) -> Tensor:
        """f32[B, V, C, H, W], the whole picture in every view."""
        return self.whole(_stacked(examples))

    def whole(self, pictures: Tensor) -> Tensor:
        """f32[B, C, h, w] in [0, 1] -> f32[B, V, C, H, W], normalised."""
        whole = normalise(resized(pictures, self.size))
        return whole if self.single else whole[:, None].expand(-1, self.views, -1, -1, -1).contiguous()

    def drawn_batch(self, examples: Sequence[Tensor], strength: float, generator: torch.Generator) -> Tensor:
        """f32[B, V, C, H, W], a random part in each view."""
        return self.drawn(_stacked(examples), strength, generator)

    def drawn(self, pictures: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """f32[B, C, h, w] in [0, 1] -> f32[B, V, C, H, W], normalised."""
        count = len(pictures) * self.views
        draws = torch.rand(7, count, generator=generator)
        share = self.area[0] + draws[0] * (self.area[1] - self.area[0])
        ratio = torch.exp((2 * draws[1] - 1) * math.log(RATIO))
        wide, high = (share * ratio).sqrt().clamp(max=1), (share / ratio).sqrt().clamp(max=1)
        right, down = (2 * draws[2] - 1) * (1 - wide), (2 * draws[3] - 1) * (1 - high)  # the grid's side is 2
        side = torch.where(draws[4] < 0.5, -wide, wide) if self.mirror else wide
        none = torch.zeros(count)
        rows = torch.stack([side, none, right], dim=1), torch.stack([none, high, down], dim=1)
        grid = functional.affine_grid(torch.stack(rows, dim=1), [count, self.channels, *self.size], align_corners=False)
        copies = pictures.repeat_interleave(self.views, dim=0)
        parts = functional.grid_sample(copies, grid, mode="bilinear", padding_mode="border", align_corners=False)
        parts = _in_another_light(parts, 1 + (2 * draws[5:] - 1) * LIGHT * strength)
        seen = normalise(parts)
        return seen if self.single else seen.view(-1, self.views, *seen.shape[1:])

    def save(self, folder: Path) -> dict[str, Any]:
        drawn = {"views": self.views, "area": list(self.area), "mirror": self.mirror, "single": self.single}
        return {"type": "views", "picture": self.picture.save(folder), **drawn}


def _stacked(examples: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(examples)).float() / 255


def _in_another_light(x: Tensor, amounts: Tensor) -> Tensor:
    """f32[B, C, H, W], f32[2, B] -> f32[B, C, H, W]"""
    brightness, contrast = amounts[:, :, None, None, None]
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    changed: Tensor = brightness * (mean + contrast * (x - mean))
    return changed.clamp(0, 1)
