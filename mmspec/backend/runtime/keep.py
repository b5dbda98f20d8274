"""Which tokens of a row stay."""

from typing import Any

import torch
from torch import Tensor, nn


class Keep(nn.Module):
    """Of the tokens behind the `front` ones, the share numerator / denominator (rounded up) with the largest scores.

    With a mask it is a share of those that are present, so that a sample keeps the same tokens however long the row is.

    Shapes   scores f32[B, N], mask bool[B, N] -> i64[B, front + ceil(share (N - front))], ascending; N where nobody stands
    """

    def __init__(self, numerator: int, denominator: int, front: int = 0) -> None:
        super().__init__()
        self.numerator = numerator
        self.denominator = denominator
        self.front = front

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        length = scores.shape[1]
        others = self.ranked(scores, mask)
        count = self.share(length - self.front)
        best = others.topk(count, dim=1).indices + self.front
        if mask is not None:
            present = mask[:, self.front :].to(torch.int64).sum(dim=1, keepdim=True)
            best = torch.where(torch.arange(count, device=best.device) < self.share(present), best, length)
        best = best.sort(dim=1).values
        if not self.front:
            return best
        first = torch.arange(self.front, device=best.device).expand(best.shape[0], -1)
        return torch.cat([first, best], dim=1)

    def ranked(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        """The scores among which is chosen; absent tokens come last.   -> f32[B, N - front]"""
        others = scores[:, self.front :]
        return others if mask is None else others.masked_fill(~mask[:, self.front :], torch.finfo(scores.dtype).min)

    def share(self, count: Any) -> Any:
        """ceil(share * count), of a number or of each sample's."""
        return (count * self.numerator + self.denominator - 1) // self.denominator
