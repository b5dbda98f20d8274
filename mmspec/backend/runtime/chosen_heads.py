"""Linear layers of attention, for the heads that each sample has chosen."""

import torch
from torch import Tensor, nn


class HeadInput(nn.Linear):
    """[B, N, D], i64[B, k] -> [B, k, N, d]; the layer's channels are those of all heads, side by side."""

    def __init__(self, inputs: int, heads: int, width: int, bias: bool = True) -> None:
        super().__init__(inputs, heads * width, bias=bias)
        self.heads = heads

    def forward(self, x: Tensor, numbers: Tensor) -> Tensor:  # type: ignore[override]
        weight = self.weight.view(self.heads, -1, x.shape[2])[numbers].flatten(1, 2)  # [B, k * d, D]
        y = torch.bmm(x, weight.transpose(1, 2))
        if self.bias is not None:
            y = y + self.bias.view(self.heads, -1)[numbers].flatten(1)[:, None]
        return y.reshape(*x.shape[:2], numbers.shape[1], -1).transpose(1, 2)


class HeadOutput(nn.Linear):
    """[B, k, N, d], i64[B, k] -> [B, N, D]; the sum over the chosen heads of what each gives."""

    def __init__(self, heads: int, width: int, outputs: int, bias: bool = True) -> None:
        super().__init__(heads * width, outputs, bias=bias)
        self.heads = heads

    def forward(self, x: Tensor, numbers: Tensor) -> Tensor:  # type: ignore[override]
        weight = self.weight.t().reshape(self.heads, x.shape[3], -1)[numbers].flatten(1, 2)  # [B, k * d, D]
        y = torch.bmm(x.transpose(1, 2).flatten(2), weight)
        return y if self.bias is None else y + self.bias
