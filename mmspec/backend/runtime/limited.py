"""A parameter that may grow only so far."""

import torch
from torch import Tensor, nn


class Limited(nn.Module):
    """At most `upper`. In training the parameter itself is cut back before it is read, so that its gradient is never cut: the next
    step may lead down again. At inference what is read is cut, and the parameter left alone."""

    def __init__(self, upper: float) -> None:
        super().__init__()
        self.upper = upper

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x.clamp(max=self.upper)
        with torch.no_grad():
            x.clamp_(max=self.upper)
        return x
