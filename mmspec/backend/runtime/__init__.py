"""The few functions and modules that built models call and torch does not have.

They import torch only: a stand-alone `model.py` carries copies of those it uses.
"""

from mmspec.backend.runtime.above import KeepAbove
from mmspec.backend.runtime.best import Best
from mmspec.backend.runtime.block_choice import BlockChoice
from mmspec.backend.runtime.blocks import block_attention, gathered_attention
from mmspec.backend.runtime.centred import Centred
from mmspec.backend.runtime.choices import (
    Admit,
    Choose,
    Claim,
    Cover,
    Decide,
    Draw,
    FloatLinear,
    Gumbel,
    Jitter,
    NextBest,
    Noise,
    equal_weights,
    everyone,
    mixture,
    straight_through,
    stream_of,
    weights_of,
    weights_or_nothing,
)
from mmspec.backend.runtime.chosen import chosen_block_attention, taken_blocks
from mmspec.backend.runtime.chosen_heads import HeadInput, HeadOutput
from mmspec.backend.runtime.contrast import info_nce, pairwise_sigmoid
from mmspec.backend.runtime.criteria import Budget, Confidence, Entropy, Improvement, Patience, Ponder
from mmspec.backend.runtime.deciding import DrawSay, KeepAtInference, SayAttention
from mmspec.backend.runtime.drop_path import DropPath
from mmspec.backend.runtime.exit_losses import cross_entropies, distillation, halting_cost, weighted_mean
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
    place_bias,
    relative_bias,
    resampled,
    rotate,
    self_distillation,
    token_cross_entropy,
    token_mask,
)
from mmspec.backend.runtime.inference import InferenceLinear, inference_linear
from mmspec.backend.runtime.keep import Keep
from mmspec.backend.runtime.limited import Limited
from mmspec.backend.runtime.loop import Loop
from mmspec.backend.runtime.opaque import opaque
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
from mmspec.backend.runtime.pruning import filled_up, importance, picked, picked_say, rest, say_mean, share_loss
from mmspec.backend.runtime.routing_losses import (
    Diversity,
    Importance,
    LoadBalance,
    Score,
    ZLoss,
    sample_cross_entropy,
    score_function,
)
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
from mmspec.backend.runtime.still import Still
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
    "Admit", "Best", "BlockChoice", "Budget", "Centred", "Choose", "Claim", "Confidence", "Cover", "Decide", "Diversity", "Draw",
    "DrawSay", "DropPath", "Entropy", "Experts", "FloatLinear", "Gumbel", "HeadInput", "HeadOutput", "Importance",
    "Improvement", "InferenceLinear", "Jitter", "Keep", "KeepAbove", "KeepAtInference", "Limited", "LoadBalance", "Loop",
    "NextBest", "Noise", "Outputs", "Patience", "Ponder", "Projections", "SayAttention", "Score", "Stages",
    "StandardizedConv2d", "Still", "ZLoss", "attention", "biased_scores", "block_attention", "blocks_over",
    "chosen_block_attention", "cross_entropies", "cross_entropy", "distance_bias", "distance_buckets", "distillation",
    "entmax", "entmax_attention", "equal_weights", "everyone", "filled_up", "for_heads", "fourier_waves", "front_attention",
    "gathered_attention", "grid", "group_attention", "grouped", "halting_cost", "importance", "inference_linear",
    "info_nce", "insert_tokens", "lengthened", "linear_attention", "local_attention", "log_power", "masked_error",
    "masked_first", "masked_last", "masked_max", "masked_mean", "masked_softmax", "mel_filters", "mixture",
    "opaque", "pairwise_sigmoid", "picked", "picked_say", "place_bias", "power_spectrum", "present_up_to", "random_attention",
    "random_blocks", "random_order", "random_tokens", "relative_bias", "resampled", "rest", "restore", "rotary_angles",
    "rotary_cos", "rotary_sin", "rotate", "sample_cross_entropy", "say_mean", "score_function", "self_distillation", "share_loss",
    "shift_mask", "sinusoidal", "sinusoidal_grid", "span_means", "steps_of", "straight_through", "stream_of",
    "taken_blocks", "token_cross_entropy", "token_mask", "top_k_attention", "ungrouped", "visible_attention",
    "visible_pairs", "weighted_mean", "weights_of", "weights_or_nothing", "window_index", "with_neighbours",
]  # fmt: skip
