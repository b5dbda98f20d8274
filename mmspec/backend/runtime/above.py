"""The tokens of a row that are important enough."""

import torch
from torch import Tensor, nn


class KeepAbove(nn.Module):
    """Behind the `front` tokens, those whose score is above `threshold` times the mean of those that are present. How many
    these are depends on the sample: the row is as long as the longest, so that later blocks work on no more. An exported
    program, whose sizes must be known, keeps the row's length and says who has left.

    Shapes   scores f32[B, N], mask bool[B, N] -> i64[B, K], ascending; N where nobody stands
    """

    def __init__(self, threshold: float, front: int = 0) -> None:
        super().__init__()
        self.threshold = threshold
        self.front = front
        self.whole = False  # whether rows keep their length at any rate

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        length = scores.shape[1]
        at = torch.arange(length, device=scores.device)
        kept = mask & ((at < self.front) | (self.relative(scores, mask) > self.threshold))
        numbers = torch.where(kept, at, length).sort(dim=1).values
        if self.whole or torch.compiler.is_exporting():
            return numbers
        return numbers[:, : max(1, int(kept.sum(dim=1).max()))]

    def relative(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Each score over the mean of those behind the front that are present.   -> f32[B, N]"""
        others = mask & (torch.arange(scores.shape[1], device=scores.device) >= self.front)
        mean = (scores * others).sum(dim=1, keepdim=True) / others.sum(dim=1, keepdim=True).clamp(min=1)
        return scores / mean.clamp(min=torch.finfo(scores.dtype).tiny)
