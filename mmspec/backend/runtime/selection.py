"""Tokens picked by number."""

import torch
from torch import Tensor


def random_order(x: Tensor, noise: Tensor | None = None) -> Tensor:
    """Each sample's tokens by ascending noise, drawn anew where none is given.   [B, N, D], f32[B, N] -> i64[B, N]"""
    if noise is None:
        noise = torch.rand_like(x[:, :, 0])
    return torch.argsort(noise, dim=1)


def restore(x: Tensor, numbers: Tensor, absent: Tensor) -> Tensor:
    """The token with each number, and `absent` where there is none.   [B, K, D], i64[B, N], [1, D] -> [B, N, D]"""
    row = torch.cat([x, absent.expand(x.shape[0], -1, -1)], dim=1)
    return torch.gather(row, 1, numbers.clamp(max=x.shape[1]).unsqueeze(-1).expand(-1, -1, x.shape[2]))
