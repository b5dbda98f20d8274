"""Primitives that pick tokens by number: a random order, those that stay, and all of them back in their places."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, primitive, shape_text


@primitive
class RandomOrder(Primitive):
    """The tokens of each sample in random order: by ascending noise, or by a draw where no noise is given.
    [B, N, D], noise f32[B, N] -> i64[B, N]"""

    kind = "random_order"
    operations = 0

    def infer(self, x: Value, noise: Value | None = None) -> tuple[Shape, str]:
        if noise is not None and noise.shape != x.shape[:2]:
            raise ShapeError(f"noise {shape_text(noise.shape)} does not order tokens {shape_text(x.shape[:2])}")
        return x.shape[:2], "i64"

    def mask(self, *_: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.random_order(*inputs)


@primitive
class Inverse(Primitive):
    """Where each token has gone: the inverse of an order.   i64[B, N] -> i64[B, N]"""

    kind = "inverse"
    operations = 0

    def run(self, torch: Any, module: Any, op: Op, order: Any) -> Any:
        return torch.argsort(order, dim=1)


@primitive
class Take(Primitive):
    """The tokens with these numbers.   [B, N, D], i64[B, K] -> [B, K, D]"""

    kind = "take"
    gathers = True
    operations = 0

    def infer(self, x: Value, numbers: Value) -> tuple[Shape, str]:
        return (*numbers.shape, *x.shape[2:]), x.dtype

    def mask(self, *_: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any, numbers: Any) -> Any:
        # for take_along_dim, which broadcasts, the tracer of an export would fix the batch
        return torch.gather(x, 1, numbers.unsqueeze(-1).expand(-1, -1, op.inputs[0].width))


@primitive
class Restore(Primitive):
    """The token with each number, and `absent` for the numbers that no token has.   [B, K, D], i64[B, N], [1, D] -> [B, N, D]"""

    kind = "restore"
    operations = 0

    def infer(self, x: Value, numbers: Value, absent: Value) -> tuple[Shape, str]:
        return (*numbers.shape, x.width), x.dtype

    def mask(self, *_: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.restore(*inputs)


@primitive
class OnlyPresent(Primitive):
    """Zeros for tokens that are absent.   [B, N, D], bool[B, N] -> [B, N, D]"""

    kind = "only_present"
    tokenwise = True

    def run(self, torch: Any, module: Any, op: Op, x: Any, mask: Any) -> Any:
        return x * mask.unsqueeze(-1)


@primitive
class AtLeast(Primitive):
    """Which entries are not below a number.   [...] -> bool[...]"""

    kind = "at_least"
    tokenwise = True

    def infer(self, x: Value, *, least: int) -> tuple[Shape, str]:
        return x.shape, "bool"

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return x.ge(op.attributes["least"])
