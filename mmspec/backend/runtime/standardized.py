"""Convolutions whose weights are standardized whenever they are used."""

import torch
from torch import Tensor, nn


class StandardizedConv2d(nn.Conv2d):
    """Each filter has mean 0 and variance 1 over its inputs before it is applied (arXiv:1903.10520)."""

    def __init__(self, channels: int, width: int, *, eps: float, **sizes: int | tuple[int, ...] | bool) -> None:
        super().__init__(channels, width, **sizes)  # type: ignore[arg-type]
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight: Tensor = (self.weight - mean) * (variance + self.eps).rsqrt()
        return self._conv_forward(x, weight, self.bias)  # type: ignore[no-any-return]
