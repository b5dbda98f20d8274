"""Losses of a batch against itself: row i and column i belong together."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(logits: Tensor, ids: Tensor | None = None) -> Tensor:
    """Cross-entropy of every row's own column and every column's own row, the mean of both; with ids, i64[B], the right answers are
    all that bear the same id, in equal shares.   [B, B] -> []"""
    if ids is None:
        right = torch.arange(logits.shape[0], device=logits.device)
    else:
        alike = ids[:, None].eq(ids).to(logits.dtype)
        right = alike / alike.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.t(), right)) / 2


def pairwise_sigmoid(logits: Tensor, ids: Tensor | None = None) -> Tensor:
    """-log sigmoid(z * logits), z = 1 for pairs that belong together and -1 for all others, summed over a row and averaged over
    rows.   [B, B] -> []"""
    places = torch.arange(logits.shape[0], device=logits.device) if ids is None else ids
    signs = places[:, None].eq(places).to(logits.dtype) * 2 - 1
    return -F.logsigmoid(signs * logits).sum(dim=1).mean()
