"""Views of a picture, for an input that says `views` or `area`: to be measured, a model sees the whole picture in every view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmspec.reading.files import Array, File
from mmspec.reading.images import ImageColumn, normalise, resized

AREA = (0.4, 1.0)  # of several views, where a spec says nothing


@dataclass(frozen=True)
class ViewsColumn:
    """How an input of type `image` with `views` or an `area` is read.   single: without an axis for views; area and mirror: what
    training draws (`mmspec.data.views`)"""

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

    def read(self, file: File) -> Array:
        """u8[C, h, w] of a file: large enough that the smallest part of it has as many pixels as a view.

        Raises   OSError, ValueError: with a message of a few words, when it cannot be read.
        """
        height, width = (math.ceil(side / math.sqrt(self.area[0])) for side in self.size)
        return ImageColumn(height, width, self.channels).read(file)

    def batch(self, examples: Sequence[Array]) -> Array:
        """f32[B, V, C, H, W], the whole picture in every view."""
        return self.whole(np.stack(list(examples)).astype(np.float32) / 255)

    def whole(self, pictures: Array) -> Array:
        """f32[B, C, h, w] in [0, 1] -> f32[B, V, C, H, W], normalised."""
        whole = normalise(resized(pictures, *self.size))
        return whole if self.single else np.repeat(whole[:, None], self.views, axis=1)

    def save(self, folder: Path) -> dict[str, Any]:
        drawn = {"views": self.views, "area": list(self.area), "mirror": self.mirror, "single": self.single}
        return {"type": "views", "picture": self.picture.save(folder), **drawn}
