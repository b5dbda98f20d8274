"""Tables that follow from sizes alone: positions, what lies between two places, waves and bands of a spectrum."""

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


def shift_mask(rows: int, columns: int, window: int, shift: int) -> Tensor:
    """-100 between places of a window that stood at opposite ends of the map before it was rolled by `shift`, else 0
    (Swin, arXiv:2103.14030, sec. 3.2).   [windows, 1, window^2, window^2]"""
    down, across = (
        (torch.arange(side) >= side - window).long() + (torch.arange(side) >= side - shift) for side in (rows, columns)
    )
    regions: Tensor = (3 * down[:, None] + across).view(rows // window, window, columns // window, window)
    regions = regions.transpose(1, 2).reshape(-1, 1, window * window)
    return (regions[..., None] != regions[:, :, None]).float() * -100.0


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


def fourier_waves(window: int, size: int, periodic: bool, centred: bool, emphasis: float) -> Tensor:
    """The rows with which a frame is multiplied for its discrete Fourier transform over `size` samples, seen through a Hann window:
    cosines of the frequencies 0 .. size / 2, then sines. What is linear and comes before is part of them: a frame's own mean is
    taken off where `centred`, and each sample loses `emphasis` times the one before.   [2 (size / 2 + 1), window]"""
    prepared = torch.eye(window, dtype=torch.float64)
    if centred:
        prepared = prepared - 1 / window
    if emphasis:
        earlier = torch.cat([prepared[:1], prepared[:-1]])
        prepared = prepared - emphasis * earlier
    prepared = prepared * torch.hann_window(window, periodic=periodic, dtype=torch.float64)[:, None]
    places, frequencies = torch.arange(window, dtype=torch.float64), torch.arange(size // 2 + 1, dtype=torch.float64)
    angles = frequencies[:, None] * places * (2 * torch.pi / size)
    return (torch.cat([angles.cos(), -angles.sin()]) @ prepared).float()


def mel_filters(mels: int, size: int, rate: int, low: float, high: float, form: str) -> Tensor:
    """Triangles that sum the frequencies 0 .. size / 2 of a Fourier transform into bands, equally wide in mels; each rises from the
    middle of the band before to its own and falls to that of the next.   [mels, size / 2 + 1]

    slaney   mels are linear in hertz up to 1000 Hz and logarithmic above, triangles in hertz, of equal area
    htk      1127 ln(1 + hertz / 700), triangles in hertz, of equal height
    kaldi    the same with triangles in mels
    """
    edges = torch.tensor([low, high], dtype=torch.float64)
    if form == "slaney":
        step = 27 / torch.log(torch.tensor(6.4, dtype=torch.float64))
        ends = torch.where(edges < 1000, edges * 3 / 200, 15 + torch.log(edges.clamp(min=1000) / 1000) * step)
    else:
        ends = 1127 * torch.log(1 + edges / 700)
    middles = torch.linspace(0, 1, mels + 2, dtype=torch.float64) * (ends[1] - ends[0]) + ends[0]
    places = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    if form == "slaney":
        middles = torch.where(middles < 15, middles * 200 / 3, 1000 * torch.exp((middles - 15) / step))
    elif form == "htk":
        middles = 700 * (torch.exp(middles / 1127) - 1)
    else:
        places = 1127 * torch.log(1 + places / 700)
    before, own, after = middles[:-2, None], middles[1:-1, None], middles[2:, None]
    filters = torch.minimum((places - before) / (own - before), (after - places) / (after - own)).clamp(min=0)
    return (filters * (2 / (after - before)) if form == "slaney" else filters).float()


def random_blocks(heads: int, blocks: int, count: int, ends: int, reach: int, seed: int | None) -> Tensor:
    """For each head and each block but the `ends` first and last ones, `count` others that it does not see anyway (BigBird,
    arXiv:2007.14062, sec. 2): neither of the ends, nor within `reach`. Without a seed every one is the first block, which is what
    transformers' BigBird draws at inference.   i64[heads, blocks - 2 ends, count]"""
    rows = range(ends, blocks - ends)
    if seed is None:
        return torch.zeros(heads, len(rows), count, dtype=torch.int64)
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for row in list(rows) * heads:
        others = torch.tensor([block for block in rows if abs(block - row) > reach])
        drawn.append(others[torch.randperm(len(others), generator=generator)[:count]])
    return torch.stack(drawn).reshape(heads, len(rows), -1)


def random_tokens(heads: int, length: int, count: int, seed: int) -> Tensor:
    """For each head and each token, `count` other tokens.   i64[heads, length, count]"""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(heads):
        lots = torch.rand(length, length, generator=generator).fill_diagonal_(-1)
        drawn.append(lots.topk(count, dim=1).indices)
    return torch.stack(drawn)
