"""Tables that follow from sizes alone: positions, and what lies between two places."""

import math

import torch
from torch import Tensor


def sinusoidal(length: int, width: int, base: float = 10000.0, last: bool = False, interleaved: bool = True) -> Tensor:
    """sin and cos of place / base^(k / K), k = 0 .. K - 1 with K = width / 2 (arXiv:1706.03762, sec. 3.5); with `last`, over
    K - 1, so that the last wave length is the base itself. Side by side, sines first, or interleaved.   [length, width]"""
    count = width // 2
    rates = base ** (-torch.arange(count, dtype=torch.float64) / (count - last))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    waves = torch.stack([angles.sin(), angles.cos()], dim=-1 if interleaved else 1)
    return waves.flatten(1).float()


def sinusoidal_grid(
    rows: int, columns: int, width: int, base: float = 10000.0, prefix: int = 0, add: bool = False
) -> Tensor:
    """Half the channels for the column and half for the row, sines before cosines in each (MAE, arXiv:2111.06377), or both added;
    zeros for `prefix` tokens before the grid.   [prefix + rows * columns, width]"""
    share = width if add else width // 2
    across = sinusoidal(columns, share, base, interleaved=False).repeat(rows, 1)
    down = sinusoidal(rows, share, base, interleaved=False).repeat_interleave(columns, dim=0)
    grid = across + down if add else torch.cat([across, down], dim=1)
    return torch.cat([torch.zeros(prefix, width), grid])


def rotary_cos(width: int, base: float, *sides: int) -> Tensor:
    """cos of the angles by which `rotate` turns each pair of `width` channels, at each place of a sequence or a grid.
    [places, width / 2]"""
    return rotary_angles(width, base, *sides).cos().float()


def rotary_sin(width: int, base: float, *sides: int) -> Tensor:
    """sin of the same angles.   [places, width / 2]"""
    return rotary_angles(width, base, *sides).sin().float()


def rotary_angles(width: int, base: float, *sides: int) -> Tensor:
    """place * base^(-2k / d), k = 0 .. d/2 - 1 (arXiv:2104.09864); on a grid each axis has an equal share d of the channels."""
    share = width // len(sides)
    rates = base ** (-torch.arange(0, share, 2, dtype=torch.float64) / share)
    places = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in sides), indexing="ij")
    return torch.cat([place.reshape(-1, 1) * rates for place in places], dim=1)


def window_index(rows: int, columns: int) -> Tensor:
    """Which entry of a table of (2 rows - 1)(2 columns - 1) biases stands for each pair of places, query minus key
    (Swin, arXiv:2103.14030, eq. 4).   i64[rows * columns, rows * columns]"""
    y, x = (side.flatten() for side in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
    down, across = y[:, None] - y + rows - 1, x[:, None] - x + columns - 1
    return down * (2 * columns - 1) + across


def distance_buckets(length: int, buckets: int, largest: int, both_ways: bool) -> Tensor:
    """The bucket of each distance from -(length - 1) to length - 1, key minus query: near ones each their own, further ones in
    logarithmic steps up to `largest` (T5, arXiv:1910.10683, sec. 2.1).   i64[2 length - 1]"""
    distance = torch.arange(1 - length, length)
    count = buckets // 2 if both_ways else buckets
    start = (distance > 0) * count if both_ways else torch.zeros_like(distance)
    steps = distance.abs() if both_ways else (-distance).clamp(min=0)
    exact = count // 2
    scaled = torch.log(steps.clamp(min=1).float() / exact) / math.log(largest / exact) * (count - exact)
    far = (exact + scaled.long()).clamp(max=count - 1)
    return start + torch.where(steps < exact, steps, far)
