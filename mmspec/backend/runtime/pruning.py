"""How important tokens are, and those that stay."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmspec.backend.runtime.functions import biased_scores
from mmspec.backend.runtime.patterns import for_heads


def importance(
    query: Tensor, key: Tensor, mask: Tensor | None = None, first: bool = False, scale: float | None = None
) -> Tensor:
    """The attention that each key gets from one query, the `first` one or the mean of those that are present; the mean over heads
    (arXiv:2202.07800).   [B, h, N, d], [B, g, N, d], bool[B, N] -> [B, N]"""
    if first:
        query = query[:, :, :1]
    elif mask is None:
        query = query.mean(dim=2, keepdim=True)
    else:
        there = mask[:, None, :, None].to(query.dtype)
        query = (query * there).sum(dim=2, keepdim=True) / there.sum(dim=2, keepdim=True).clamp(min=1)
    scores = biased_scores(query, for_heads(key, query), None, scale)[:, :, 0]  # [B, h, N]
    if mask is None:
        return scores.softmax(dim=-1).mean(dim=1)
    scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1).mean(dim=1) * mask


def picked(x: Tensor, numbers: Tensor) -> Tensor:
    """The tokens with these numbers; the last for a number that no token has.   [B, N, D], i64[B, K] -> [B, K, D]"""
    return torch.gather(x, 1, numbers.clamp(max=x.shape[1] - 1).unsqueeze(-1).expand(-1, -1, x.shape[2]))


def rest(x: Tensor, importance: Tensor, numbers: Tensor) -> Tensor:
    """The sum of the tokens that were not picked, each times its importance.   [B, N, D], [B, N], i64[B, K] -> [B, 1, D]"""
    weight = F.pad(importance, (0, 1)).scatter(1, numbers, 0.0)[:, :-1]
    return (x * weight.unsqueeze(-1)).sum(dim=1, keepdim=True)


def picked_say(say: Tensor, numbers: Tensor) -> Tensor:
    """The say of the tokens with these numbers; none for a number that no token has.   [B, N, 1], i64[B, K] -> [B, K, 1]"""
    return picked(say, numbers) * (numbers < say.shape[1]).unsqueeze(-1)


def say_mean(x: Tensor, say: Tensor) -> Tensor:
    """The mean of the tokens that count.   [B, N, D], [B, N, 1] -> [B, 1, D]"""
    return (x * say).sum(dim=1, keepdim=True) / say.sum(dim=1, keepdim=True).clamp(min=1)


def share_loss(decided: Tensor, say: Tensor, share: float, weight: float) -> Tensor:
    """weight * mean over samples of (sum decided / sum say - share)^2; a sample without tokens has none (arXiv:2106.02034, eq.
    13)."""
    count = say.sum(dim=(1, 2))
    off = decided.sum(dim=(1, 2)) / count.clamp(min=1) - share
    return weight * (off.square() * (count > 0)).mean()


def filled_up(x: Tensor, mask: Tensor, like: Tensor) -> Tensor:
    """Zeros for absent tokens, and behind them up to the length of `like`.   [B, K, D], bool[B, K], [B, N, D] -> [B, N, D]"""
    return F.pad(x * mask.unsqueeze(-1), (0, 0, 0, like.shape[1] - x.shape[1]))
