"""Primitives of streams that stop: which samples of a stream go on, and what becomes of those that do not."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, primitive


@primitive
class Going(Primitive):
    """At the beginning every sample goes on.   [B, N, D] -> f32[B], ones"""

    kind = "going"
    operations = 0

    def infer(self, x: Value) -> tuple[Shape, str]:
        return x.shape[:1], "f32"

    def mask(self, *_: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.ones_like(x[:, 0, 0])


@primitive
class Stopped(Primitive):
    """0 for a sample that goes on, and 1, which is no network's number, for one that has stopped.   f32[B] -> i64[B, 1]"""

    kind = "stopped"

    def infer(self, going: Value) -> tuple[Shape, str]:
        return (*going.shape, 1), "i64"

    def run(self, torch: Any, module: Any, op: Op, going: Any) -> Any:
        return going.lt(0.5).to(torch.int64).unsqueeze(-1)


@primitive
class Updated(Primitive):
    """What was found of the samples that go on, and what there was of the others.
    [B, N, D], [B, 1, N, D], i64[B, 1] -> [B, N, D]"""

    kind = "updated"
    operations = 2

    def run(self, torch: Any, module: Any, op: Op, x: Any, found: Any, choice: Any) -> Any:
        return torch.where(choice.eq(0).unsqueeze(-1), found.squeeze(1), x)


@primitive
class Still(Primitive):
    """Which samples go on: those that did, and whose tokens have changed by more than the threshold; in training all.
    [B, N, D], [B, N, D], f32[B], perhaps bool[B, N] -> f32[B]"""

    kind = "still"
    operations = 3

    def infer(self, x: Value, after: Value, going: Value, present: Value | None = None, **_: Any) -> tuple[Shape, str]:
        return going.shape, "f32"

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def make(self, torch: Any, op: Op) -> Any:
        return torch.runtime.Still(op.attributes["threshold"])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class AsExit(Primitive):
    """A count of blocks as the number of the last one.   f32[B] -> i64[B]"""

    kind = "as_exit"
    operations = 0

    def infer(self, count: Value) -> tuple[Shape, str]:
        return count.shape, "i64"

    def run(self, torch: Any, module: Any, op: Op, count: Any) -> Any:
        return count.to(torch.int64)
