"""Clips: read from animated pictures (GIF, WebP, PNG, TIFF of several pages), no decoder of films needed.

A file becomes f32[T, C, H, W]: what it shows in the middle of each of T equal parts of its time, each frame read as a picture is. A
still picture is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmspec.reading.files import Array, File
from mmspec.reading.images import MEAN, STD, normalise, pictures, pixels


@dataclass(frozen=True)
class ClipColumn:
    """How an input of type `video` is read.   frames; size: side in pixels; channels 1 (grey) or 3 (RGB)."""

    frames: int
    size: int
    channels: int

    is_file = True

    def read(self, file: File) -> Array:
        """u8[T, C, H, W] of a file.

        Raises   OSError, ValueError: with a message of a few words, when it cannot be read, or is a still picture.
        """
        shown = pictures(file, self.frames)
        return np.stack([pixels(image, self.size, self.size, self.channels) for image in shown])

    def batch(self, examples: Sequence[Array]) -> Array:
        """f32[B, T, C, H, W], normalised."""
        return normalise(np.stack(list(examples)).astype(np.float32) / 255)

    def save(self, folder: Path) -> dict[str, Any]:
        sizes = {"frames": self.frames, "size": self.size, "channels": self.channels}
        return {"type": "video", **sizes, "mean": MEAN, "std": STD}
