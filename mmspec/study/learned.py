"""Costs that depend on what was learned: before training they are bounded, after it they are measured.

How much a sample costs on average where it may leave early is known once the exits are trained: from the shares of validation
examples that left at each. Such a cost is sought like a metric of the task, and no limit may speak of it; one on its bound may.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmspec.errors import UserError

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec

BOUNDS: Mapping[str, tuple[str, str]] = {  # of each, the figures that it lies between
    "flops.expected": ("flops.minimum", "flops.maximum"),
    "flops.expected_uncompacted": ("flops.minimum", "flops.maximum"),
}


def learned_cost(spec: ModelSpec, name: str, metrics: Mapping[str, Any]) -> float:
    """A figure of the price with the rates that a training measured.   Raises UserError: it measured none"""
    from mmspec.cost import Measured, profile

    price = profile(spec, measured=Measured.of(metrics))
    value = price[name]
    if value is None:
        raise UserError(f"the objective {name!r} is not known after training: {price.unknown[name]}")
    return float(value)
