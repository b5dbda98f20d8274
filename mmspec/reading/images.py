"""Pictures: read, resized, brought to numbers around zero.

A file becomes f32[C, H, W]: turned upright as its EXIF says, laid on white where it is transparent, made grey or RGB
as the spec's channels want, resized to the spec's size with bilinear weights (smoothed first where it shrinks; the
aspect ratio is not kept), and normalised as (value / 255 - 0.5) / 0.5, so that black is -1 and white is 1.
"""

from __future__ import annotations

import warnings
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from mmspec.reading.files import Array, File

MEAN, STD = 0.5, 0.5
CLIP = 16  # pictures of the largest size, as whose pixels those of all frames of a clip are bounded
LEAST = 64 * 64  # pixels that a frame counts as: one takes time, however small
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # not EPS and the like, which start other programs
TYPES = {1: "L", 3: "RGB"}
Values = TypeVar("Values", bound=Any)  # arrays, and tensors as well


@dataclass(frozen=True)
class ImageColumn:
    """How an input of type `image` is read.   height, width in pixels; channels 1 (grey) or 3 (RGB)."""

    height: int
    width: int
    channels: int

    is_file = True

    def read(self, file: File) -> Array:
        """u8[C, H, W] of a file.

        Raises   OSError, ValueError: with a message of a few words, when it cannot be read.
        """
        (image,) = pictures(file)
        return pixels(image, self.height, self.width, self.channels)

    def batch(self, examples: Sequence[Array]) -> Array:
        """f32[B, C, H, W], normalised."""
        return normalise(np.stack(list(examples)).astype(np.float32) / 255)

    def save(self, folder: Path) -> dict[str, Any]:
        return {
            "type": "image",
            "size": [self.height, self.width],
            "channels": self.channels,
            "mean": MEAN,
            "std": STD,
        }


def pictures(file: File, count: int = 0) -> list[Image.Image]:
    """The first picture of a file, or what an animated one shows at `count` moments: the middles of equal parts of its time, or of
    its frames where it says no times.

    Raises   OSError, ValueError: with a message of a few words, when it cannot be read, or is not animated.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", Image.DecompressionBombWarning
        )  # that is said below, whatever other threads filter
        try:
            with Image.open(file, formats=FORMATS) as opened:
                _check_size(opened, count)
                if not count:
                    opened.load()
                    return [ImageOps.exif_transpose(opened)]
                ends = list(accumulate(frame.info.get("duration") or 1 for frame in ImageSequence.Iterator(opened)))
                places = [bisect(ends, (2 * i + 1) * ends[-1] / (2 * count)) for i in range(count)]
                shown: dict[int, Image.Image] = {}
                for place in sorted(set(places)):  # a clip may be long: only what is seen is kept
                    opened.seek(place)
                    shown[place] = opened.copy()
        except (FileNotFoundError, IsADirectoryError, PermissionError):
            raise
        except UnidentifiedImageError:
            raise ValueError(f"not an image of a known kind ({', '.join(FORMATS)})") from None
        except Image.DecompressionBombError:
            raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
        except ClipTooLong:
            raise
        except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ... on damaged files
            raise ValueError(f"damaged image ({error})") from None
    if len(ends) == 1:
        raise ValueError(f"a still picture, where the model sees {count} frames")
    return [shown[place] for place in places]


def _check_size(opened: Image.Image, count: int) -> None:
    """Raise DecompressionBombError before a picture, or any frame of a clip, is decoded that is too large."""
    most = Image.MAX_IMAGE_PIXELS
    if most is None:
        return
    if opened.width * opened.height > most:
        raise Image.DecompressionBombError
    frames = getattr(opened, "n_frames", 1) if count else 1
    if max(opened.width * opened.height, LEAST) * frames > CLIP * most:
        raise ClipTooLong(
            f"{frames:,} frames of {opened.width} x {opened.height} pixels, and {CLIP * most:,} pixels are read"
        )


class ClipTooLong(ValueError):
    """A clip's frames have too many pixels together."""


def pixels(image: Image.Image, height: int, width: int, channels: int) -> Array:
    """u8[C, H, W] of a picture: on white, in the spec's colours and size.   Raises ValueError"""
    if image.mode.startswith(("I", "F")):
        raise ValueError("more than 8 bits per channel; convert it to 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert(TYPES[channels]).resize((width, height), Image.Resampling.BILINEAR)
    values = np.array(image).reshape(height, width, channels)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def normalise(values: Values) -> Values:
    """[0, 1] -> [-1, 1]."""
    centred: Values = (values - MEAN) / STD
    return centred


def resized(pictures: Array, height: int, width: int) -> Array:
    """f32[B, C, h, w] -> f32[B, C, height, width], bilinear, smoothed where it shrinks: what `ImageColumn` does to a file."""
    planes = [Image.fromarray(plane) for plane in pictures.reshape(-1, *pictures.shape[2:])]
    small = np.stack([np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR)) for plane in planes])
    return small.reshape(*pictures.shape[:2], height, width)
