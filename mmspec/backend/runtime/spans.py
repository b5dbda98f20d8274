"""Pooling over equal spans of a sequence."""

import torch
from torch import Tensor


def span_means(x: Tensor, scales: tuple[int, ...], mask: Tensor | None = None) -> Tensor:
    """The mean of each of s equal spans of the tokens that are present, for every s of `scales`, in a row; zeros for a span without
    tokens.   [B, N, D], bool[B, N] -> [B, sum(scales), D]"""
    present = torch.ones_like(x[:, :, 0], dtype=torch.bool) if mask is None else mask
    places = present.to(torch.int64).cumsum(dim=1) - 1
    count = present.sum(dim=1, keepdim=True).clamp(min=1)
    weights = []
    for scale in scales:
        spans = torch.arange(scale, device=x.device)[:, None]
        inside = ((places * scale // count)[:, None] == spans) & present[:, None]
        weights.append(inside / inside.sum(dim=2, keepdim=True).clamp(min=1))
    return torch.cat(weights, dim=1).to(x.dtype) @ x
