"""The few functions and modules that built models call and torch does not have.

They import torch only: a stand-alone `model.py` carries copies of those it uses.
"""

from mmspec.backend.runtime.blocks import block_attention, gathered_attention
from mmspec.backend.runtime.centred import Centred
from mmspec.backend.runtime.contrast import info_nce, pairwise_sigmoid
from mmspec.backend.runtime.drop_path import DropPath
from mmspec.backend.runtime.experts import Experts
from mmspec.backend.runtime.functions import (
    attention,
    biased_scores,
    cross_entropy,
    distance_bias,
    grid,
    insert_tokens,
    masked_error,
    masked_first,
    masked_last,
    masked_max,
    masked_mean,
    masked_softmax,
    relative_bias,
    resampled,
    rotate,
    self_distillation,
    token_cross_entropy,
    token_mask,
)
from mmspec.backend.runtime.limited import Limited
from mmspec.backend.runtime.outputs import Outputs
from mmspec.backend.runtime.patterns import (
    blocks_over,
    for_heads,
    front_attention,
    group_attention,
    grouped,
    lengthened,
    linear_attention,
    local_attention,
    present_up_to,
    steps_of,
    ungrouped,
    visible_attention,
    with_neighbours,
)
from mmspec.backend.runtime.projections import Projections
from mmspec.backend.runtime.selection import random_order, restore
from mmspec.backend.runtime.sound import log_power, power_spectrum
from mmspec.backend.runtime.spans import span_means
from mmspec.backend.runtime.sparsity import (
    entmax,
    entmax_attention,
    random_attention,
    top_k_attention,
    visible_pairs,
)
from mmspec.backend.runtime.stages import Stages
from mmspec.backend.runtime.standardized import StandardizedConv2d
from mmspec.backend.runtime.tables import (
    distance_buckets,
    fourier_waves,
    mel_filters,
    random_blocks,
    random_tokens,
    rotary_angles,
    rotary_cos,
    rotary_sin,
    shift_mask,
    sinusoidal,
    sinusoidal_grid,
    window_index,
)

__all__ = [
    "Centred", "DropPath", "Experts", "Limited", "Outputs", "Projections", "Stages", "StandardizedConv2d", "attention",
    "biased_scores",
    "block_attention", "blocks_over", "cross_entropy", "distance_bias", "distance_buckets", "entmax", "entmax_attention",
    "for_heads", "fourier_waves", "front_attention", "gathered_attention", "grid", "group_attention", "grouped", "info_nce",
    "insert_tokens", "lengthened", "linear_attention", "local_attention", "log_power", "masked_error", "masked_first",
    "masked_last", "masked_max", "masked_mean", "masked_softmax", "mel_filters", "pairwise_sigmoid", "power_spectrum",
    "present_up_to", "random_attention", "random_blocks", "random_order", "random_tokens", "relative_bias", "resampled", "restore",
    "rotary_angles", "rotary_cos", "rotary_sin", "rotate", "self_distillation", "shift_mask", "sinusoidal", "sinusoidal_grid",
    "span_means", "steps_of", "token_cross_entropy", "token_mask", "top_k_attention", "ungrouped", "visible_attention",
    "visible_pairs", "window_index", "with_neighbours",
]  # fmt: skip
