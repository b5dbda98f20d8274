"""Pictures: read, resized, brought to numbers around zero; and the small variation that training adds.

A file becomes f32[C, H, W]: turned upright as its EXIF says, laid on white where it is transparent, made grey or RGB
as the spec's channels want, resized to the spec's size with bilinear weights (smoothed first where it shrinks; the
aspect ratio is not kept), and normalised as (value / 255 - 0.5) / 0.5, so that black is -1 and white is 1.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

MEAN, STD = 0.5, 0.5
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # not EPS and the like, which start other programs
TYPES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class ImageColumn:
    """How an input of type `image` is read.   height, width in pixels; channels 1 (grey) or 3 (RGB)."""

    height: int
    width: int
    channels: int

    is_file = True

    def read(self, path: str | Path) -> Tensor:
        """u8[C, H, W] of a file.

        Raises   OSError, ValueError: with a message of a few words, when it cannot be read.
        """
        (image,) = pictures(path)
        return pixels(image, self.height, self.width, self.channels)

    def batch(self, examples: Sequence[Tensor]) -> Tensor:
        """f32[B, C, H, W], normalised."""
        return normalise(torch.stack(list(examples)).float() / 255)

    def save(self, folder: Path) -> dict[str, Any]:
        return {
            "type": "image",
            "size": [self.height, self.width],
            "channels": self.channels,
            "mean": MEAN,
            "std": STD,
        }


def pictures(path: str | Path, count: int = 0) -> list[Image.Image]:
    """The first picture of a file, or what an animated one shows at `count` moments: the middles of equal parts of its time, or of
    its frames where it says no times.

    Raises   OSError, ValueError: with a message of a few words, when it cannot be read, or is not animated.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=FORMATS) as file:
                if not count:
                    file.load()
                    return [ImageOps.exif_transpose(file)]
                ends = list(accumulate(frame.info.get("duration") or 1 for frame in ImageSequence.Iterator(file)))
                places = [bisect(ends, (2 * i + 1) * ends[-1] / (2 * count)) for i in range(count)]
                shown: dict[int, Image.Image] = {}
                for place in sorted(set(places)):  # a clip may be long: only what is seen is kept
                    file.seek(place)
                    shown[place] = file.copy()
        except (FileNotFoundError, IsADirectoryError, PermissionError):
            raise
        except UnidentifiedImageError:
            raise ValueError(f"not an image of a known kind ({', '.join(FORMATS)})") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
        except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ... on damaged files
            raise ValueError(f"damaged image ({error})") from None
    if len(ends) == 1:
        raise ValueError(f"a still picture, where the model sees {count} frames")
    return [shown[place] for place in places]


def pixels(image: Image.Image, height: int, width: int, channels: int) -> Tensor:
    """u8[C, H, W] of a picture: on white, in the spec's colours and size.   Raises ValueError"""
    if image.mode.startswith(("I", "F")):
        raise ValueError("more than 8 bits per channel; convert it to 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert(TYPES[channels]).resize((width, height), Image.Resampling.BILINEAR)
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.reshape(height, width, channels).permute(2, 0, 1).contiguous()


def normalise(values: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1]."""
    return (values - MEAN) / STD


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
