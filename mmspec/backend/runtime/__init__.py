"""The few functions and modules that built models call and torch does not have.

They import torch only: a stand-alone `model.py` carries copies of those it uses.
"""

from mmspec.backend.runtime.experts import Experts
from mmspec.backend.runtime.functions import (
    cross_entropy,
    grid,
    masked_attention,
    masked_first,
    masked_last,
    masked_max,
    masked_mean,
    masked_softmax,
    token_mask,
)
from mmspec.backend.runtime.outputs import Outputs
from mmspec.backend.runtime.stages import Stages

__all__ = [
    "Experts", "Outputs", "Stages", "cross_entropy", "grid", "masked_attention", "masked_first", "masked_last", "masked_max",
    "masked_mean", "masked_softmax", "token_mask",
]  # fmt: skip
