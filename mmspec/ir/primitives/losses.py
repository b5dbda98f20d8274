"""Primitives of objectives."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, primitive


@primitive
class CrossEntropy(Primitive):
    """-log softmax(logits)[target], the mean over samples (and exits).   f32[..., B, C], i64[B] -> f32[]"""

    kind = "cross_entropy"

    def infer(self, logits: Value, target: Value, *, smoothing: float) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, logits: Any, target: Any) -> Any:
        return torch.runtime.cross_entropy(logits, target, op.attributes["smoothing"])


@primitive
class EarlierExits(Primitive):
    """All exits but the last.   f32[E, B, C] -> f32[E - 1, B, C]"""

    kind = "earlier_exits"
    alias = True

    def infer(self, exits: Value) -> tuple[Shape, str]:
        return (exits.shape[0] - 1, *exits.shape[1:]), exits.dtype

    def run(self, torch: Any, module: Any, op: Op, exits: Any) -> Any:
        return exits[:-1]
