"""Whether a stream of a sample still changes."""

from torch import Tensor, nn


class Still(nn.Module):
    """1 for a sample that went on and whose tokens have changed by at least `threshold`, relative to what they were; in training
    for every one.   [B, N, D], [B, N, D], f32[B], bool[B, N] or None -> f32[B]"""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.never = False  # stop, for a while: every stream goes on

    def forward(self, x: Tensor, after: Tensor, going: Tensor, present: Tensor | None = None) -> Tensor:
        if self.training or self.never:
            return going
        return going * self.change(x, after, present).ge(self.threshold).to(going.dtype)

    def change(self, x: Tensor, after: Tensor, present: Tensor | None) -> Tensor:
        """|after - x| / |x| over the tokens that are present.   -> f32[B]"""
        moved = after - x
        if present is not None:
            moved, x = moved * present.unsqueeze(-1), x * present.unsqueeze(-1)
        size = x.flatten(1).square().sum(dim=1).clamp(min=1e-12)
        return (moved.flatten(1).square().sum(dim=1) / size).sqrt()
