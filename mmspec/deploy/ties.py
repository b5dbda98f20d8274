"""Routers that cannot tell their experts apart: which of them answers is then left to each runtime's rounding."""

from __future__ import annotations

from torch import nn

from mmspec.backend.runtime import FloatLinear
from mmspec.errors import UserError


def check_routers(module: nn.Module) -> None:
    """Raise UserError if a router has the same score for all of its experts, whatever it sees, as one of zeros has."""
    tied = [
        name
        for name, child in module.named_modules()
        if isinstance(child, FloatLinear) and child.out_features > 1 and bool((child.weight == child.weight[:1]).all())
    ]
    if tied:
        shown = ", ".join(tied[:3]) + (f" and {len(tied) - 3} more" if len(tied) > 3 else "")
        raise UserError(
            f"every token is a tie for {shown}: its weights are the same for every expert, as they are before training. "
            "Runtimes break ties differently, so that no file could be verified; train the model, or load trained weights"
        )
