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
from mmspec.backend.runtime.stages import Stages
from mmspec.backend.runtime.tables import (
    distance_buckets,
    rotary_angles,
    rotary_cos,
    rotary_sin,
    sinusoidal,
    sinusoidal_grid,
    window_index,
)

__all__ = [
    "DropPath", "Experts", "Outputs", "Stages", "attention", "cross_entropy", "distance_bias", "distance_buckets", "grid",
    "masked_error", "masked_first", "masked_last", "masked_max", "masked_mean", "masked_softmax", "random_order", "relative_bias", "restore", "rotary_angles", "rotary_cos",
    "rotary_sin", "rotate", "sinusoidal", "sinusoidal_grid", "token_mask", "window_index",
]  # fmt: skip
