"""The few tokens of a row with the largest scores."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Best(nn.Module):
    """The `k` tokens with the largest scores among those that are present.

    Shapes   scores f32[B, N], mask bool[B, N] -> i64[B, k], ascending; N where there are fewer
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.front = 0

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        length = scores.shape[1]
        best = self.ranked(scores, mask).topk(self.k, dim=1).indices
        if mask is not None:
            there = mask.to(torch.int64).sum(dim=1, keepdim=True)
            best = torch.where(torch.arange(self.k, device=best.device) < there, best, length)
        return best.clamp(max=length).sort(dim=1).values

    def ranked(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        """The scores among which is chosen, and `k` that come last.   -> f32[B, N + k]"""
        least = torch.finfo(scores.dtype).min
        scores = scores if mask is None else scores.masked_fill(~mask, least)
        return F.pad(scores, (0, self.k), value=least)
