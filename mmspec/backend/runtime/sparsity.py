"""Attention whose pattern is no block of the score matrix: all scores are computed, and few are kept.

Everywhere [B, h, N, d], [B, g, N, d], [B, g, N, e], mask bool[B, N], bias [h, N, N] -> [B, h, N, e]; a query that sees nothing gets
zeros.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmspec.backend.runtime.functions import biased_scores
from mmspec.backend.runtime.patterns import for_heads, visible_attention


def visible_pairs(query: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Which keys are present and, where causal, not later.   [B, h, N, d], bool[B, N] -> bool[B or 1, 1, N, N]"""
    at = torch.arange(query.shape[2], device=query.device)
    pairs = (at <= at[:, None] if causal else at[:, None] == at[:, None])[None, None]
    return pairs.expand(-1, -1, -1, at.shape[0]) if mask is None else pairs & mask[:, None, None, :]


def random_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    drawn: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """A token sees itself and those that its row of `drawn` names, i64[h, L, keys], as far as they are within the text."""
    length = query.shape[2]
    nobody = torch.zeros(*drawn.shape[:2], drawn.shape[1], device=query.device)
    chosen = (nobody.scatter(2, drawn, 1.0) > 0)[:, :length, :length]
    at = torch.arange(length, device=query.device)
    visible = visible_pairs(query, mask, causal) & (chosen | (at == at[:, None]))
    return visible_attention(query, for_heads(key, query), for_heads(value, query), visible, bias, scale)


def top_k_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    k: int = 1,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax over the k largest scores of each query (arXiv:1912.11637, eq. 7 and 8); scores equal to the k-th are kept too."""
    key, value = for_heads(key, query), for_heads(value, query)
    scores = biased_scores(query, key, bias, scale)
    visible = visible_pairs(query, mask, causal)
    lowest = torch.finfo(scores.dtype).min
    scores = scores.masked_fill(~visible, lowest)
    kth = F.pad(scores, (0, k), value=lowest).topk(k, dim=-1).values[..., k - 1 :]
    weights = scores.masked_fill(scores < kth, lowest).softmax(dim=-1)
    return torch.matmul(weights * visible.any(dim=-1, keepdim=True), value)


def entmax_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    alpha: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """alpha-entmax of the scores in the place of softmax, with alpha = 1 + sigmoid(`alpha`) for each head (arXiv:1909.00015)."""
    key, value = for_heads(key, query), for_heads(value, query)
    scores = biased_scores(query, key, bias, scale)
    visible = visible_pairs(query, mask, causal)
    some = visible.any(dim=-1, keepdim=True)
    weights = entmax(scores, torch.sigmoid(alpha)[:, None, None], visible | ~some)
    return torch.matmul(weights * some, value)


def entmax(scores: Tensor, rate: Tensor, visible: Tensor) -> Tensor:
    """[(alpha - 1) z - tau]_+^(1 / (alpha - 1)), tau such that a row sums to one; `rate` is alpha - 1, in (0, 1). tau is found by
    bisection (arXiv:1909.00015, algorithm 1); a last Newton step gives it the gradient of the implicit function.
    [..., N, M], [..., 1, 1], bool[..., N, M] -> [..., N, M]"""
    x = rate * scores
    best = x.masked_fill(~visible, torch.finfo(x.dtype).min).amax(dim=-1, keepdim=True)
    x = (x - best.detach()).masked_fill(~visible, -2.0)  # tau is above -1
    fixed, power = x.detach(), 1 / rate.detach()
    low = torch.full_like(fixed[..., :1], -1.0)
    for halving in range(1, 25):
        middle = low + 0.5**halving
        total = (fixed - middle).clamp(min=0).pow(power).sum(dim=-1, keepdim=True)
        low = torch.where(total >= 1, middle, low)
    slope = (power * (fixed - low).clamp(min=0).pow(power - 1)).sum(dim=-1, keepdim=True)
    excess = (x - low).clamp(min=0).pow(1 / rate).sum(dim=-1, keepdim=True) - 1
    weights: Tensor = (x - low - excess / slope).clamp(min=0).pow(1 / rate)
    return weights
