"""Captions of handwritten digits: what a scan shows, in words that follow from its pixels.

    a handwritten three, slanted to the left, in thin strokes

The digit is the data set's own label. How it leans and how thick it is are measured, and told against others of the same digit (a
seven leans to the right by its shape), so that who knows the digit knows neither:

    slant    -sum w dx dy / sum w dy^2, w the ink, d from its centre; y runs down. A third of each digit's scans is said to be
             slanted to the left, a third upright, a third slanted to the right
    strokes  mean ink of the scan; half of each digit's are said to be in thin strokes, half in thick ones

That makes 60 captions, each true of about 30 of the 1,797 scans.
"""

from __future__ import annotations

import torch
from torch import Tensor

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SLANTS = ("slanted to the left", "upright", "slanted to the right")
STROKES = ("in thin strokes", "in thick strokes")
CAPTIONS = tuple(
    f"a handwritten {digit}, {slant}, {strokes}" for digit in DIGITS for slant in SLANTS for strokes in STROKES
)
PER_DIGIT = len(SLANTS) * len(STROKES)


def captions_of(scans: Tensor, digits: Tensor) -> Tensor:
    """Which of CAPTIONS is true of each scan.   f32[S, H, W] ink, i64[S] -> i64[S]"""
    slants, strokes = rank(slant_of(scans), digits, len(SLANTS)), rank(scans.mean(dim=(1, 2)), digits, len(STROKES))
    return digits * PER_DIGIT + slants * len(STROKES) + strokes


def slant_of(scans: Tensor) -> Tensor:
    """How far the ink moves to the right for each row further up, in pixels.   f32[S, H, W] -> f32[S]"""
    ink = scans / scans.sum(dim=(1, 2), keepdim=True)
    rows = torch.arange(scans.shape[1], dtype=scans.dtype)[:, None]
    columns = torch.arange(scans.shape[2], dtype=scans.dtype)[None, :]
    down = rows - (ink * rows).sum(dim=(1, 2), keepdim=True)
    right = columns - (ink * columns).sum(dim=(1, 2), keepdim=True)
    return -(ink * right * down).sum(dim=(1, 2)) / (ink * down * down).sum(dim=(1, 2))


def rank(amounts: Tensor, digits: Tensor, parts: int) -> Tensor:
    """In which of `parts` equal shares of its digit's scans each lies, smallest amounts first.   f32[S], i64[S] -> i64[S]"""
    result = torch.empty_like(digits)
    for digit in range(len(DIGITS)):
        (rows,) = torch.nonzero(digits == digit, as_tuple=True)
        places = amounts[rows].argsort(stable=True).argsort()
        result[rows] = places * parts // len(rows)
    return result
