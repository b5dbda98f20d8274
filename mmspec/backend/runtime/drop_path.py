"""Stochastic depth."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """In training the branch of a sample is left out with probability `p`, and what stays is scaled to the same mean."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.rand(x.shape[0], *(1 for _ in x.shape[1:]), device=x.device, dtype=x.dtype) >= self.p
        return x * kept / (1 - self.p)
