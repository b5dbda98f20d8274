"""The few functions and modules that built models call and torch does not have.

They import torch only: a stand-alone `model.py` carries copies of those it uses.
"""

from mmspec.backend.runtime.drop_path import DropPath
from mmspec.backend.runtime.experts import Experts
from mmspec.backend.runtime.functions import (
    attention,
    cross_entropy,
    distance_bias,
    grid,
    masked_error,
    masked_first,
    masked_last,
    masked_max,
    masked_mean,
    masked_softmax,
    relative_bias,
    rotate,
    token_mask,
)
from mmspec.backend.runtime.outputs import Outputs
from mmspec.backend.runtime.selection import random_order, restore
from mmspec.backend.runtime.sound import log_power, power_spectrum
from mmspec.backend.runtime.stages import Stages
from mmspec.backend.runtime.standardized import StandardizedConv2d
from mmspec.backend.runtime.tables import (
    distance_buckets,
    fourier_waves,
    mel_filters,
    rotary_angles,
    rotary_cos,
    rotary_sin,
    shift_mask,
    sinusoidal,
    sinusoidal_grid,
    window_index,
)

__all__ = [
    "DropPath", "Experts", "Outputs", "Stages", "StandardizedConv2d", "attention", "cross_entropy", "distance_bias", "distance_buckets",
    "fourier_waves", "grid", "log_power", "masked_error", "masked_first", "masked_last", "masked_max", "masked_mean", "masked_softmax",
    "mel_filters", "power_spectrum", "random_order", "relative_bias", "restore", "rotary_angles", "rotary_cos", "rotary_sin", "rotate", "shift_mask", "sinusoidal",
    "sinusoidal_grid", "token_mask", "window_index",
]  # fmt: skip
