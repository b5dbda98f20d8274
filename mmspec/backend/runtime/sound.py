"""From a waveform to the power of its frequencies."""

import torch
import torch.nn.functional as F
from torch import Tensor


def power_spectrum(x: Tensor, waves: Tensor, hop: int, padding: int) -> Tensor:
    """The squared length of each frequency's cosine and sine product with frames that start every `hop` samples; the sound is
    reflected by `padding` samples at its ends.   [B, S], [2 K, W] -> [B, K, (S + 2 padding - W) / hop + 1]"""
    x = x[:, None]
    if padding:
        x = F.pad(x, (padding, padding), mode="reflect")
    cos, sin = F.conv1d(x, waves[:, None], stride=hop).chunk(2, dim=1)
    return cos * cos + sin * sin


def log_power(x: Tensor, floor: float, natural: bool = False, below: float | None = None) -> Tensor:
    """The logarithm, to base 10 or natural, of at least `floor`; where `below` is given, at most so far below the sample's largest.
    [B, K, T] -> [B, K, T]"""
    x = x.clamp(min=floor)
    x = x.log() if natural else x.log10()
    return x if below is None else torch.maximum(x, x.amax(dim=(1, 2), keepdim=True) - below)
