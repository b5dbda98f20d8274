"""A mean that is carried along."""

import torch
from torch import Tensor, nn


class Centred(nn.Module):
    """What comes in, less the mean of all that has come in before; in training the mean keeps `keep` of itself at each batch."""

    mean: Tensor

    def __init__(self, width: int, keep: float) -> None:
        super().__init__()
        self.keep = keep
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        y = x - self.mean
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(x.detach().mean(dim=0), 1 - self.keep)
        return y
