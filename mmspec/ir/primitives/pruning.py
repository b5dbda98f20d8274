"""Primitives that choose among tokens: how important each is, which are kept, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from mmspec.ir.dims import Dim, Shape, blocks, product
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeOf, primitive


def share_of(count: Dim, share: Fraction) -> Dim:
    """ceil(share * count)"""
    return blocks(count * share.numerator, share.denominator)


@primitive
class Importance(Primitive):
    """How much attention each token gets from one query, the first token's or the `mean` of those that are present: its weights, in
    the mean over heads; 0 for absent tokens.   [B, h, N, d], [B, g, N, d], perhaps bool[B, N] -> f32[B, N]"""

    kind = "attended"
    family = "attention"
    reduces = True

    def infer(self, query: Value, key: Value, mask: Value | None = None, **_: Any) -> tuple[Shape, str]:
        return (key.shape[0], key.shape[2]), query.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        batch, heads, _, width = shape(op.inputs[0])
        return 2 * batch * heads * shape(op.inputs[1])[2] * width

    def backward(self, op: Op, shape: ShapeOf, wanted: Sequence[bool], trained: bool, fused: bool = True) -> Dim:
        return self.flops(op, shape) * (wanted[0] + wanted[1])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        unusual = {} if op.attributes["scale"] is None else {"scale": op.attributes["scale"]}
        return torch.runtime.importance(*inputs, first=op.attributes["asking"] == "first", **unusual)


@primitive
class Keep(Primitive):
    """The numbers of the tokens that stay, in ascending order: the `front` ones, and of the others the `share` (rounded up) of the
    largest importance. With a mask it is a share of those that are present; places that stay empty bear the number N.
    f32[B, N], perhaps bool[B, N] -> i64[B, front + ceil(share (N - front))]"""

    kind = "keep"
    reduces = True

    def infer(self, x: Value, mask: Value | None = None, *, share: Fraction, front: int) -> tuple[Shape, str]:
        return (x.shape[0], front + share_of(x.shape[1] - front, share)), "i64"

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def make(self, torch: Any, op: Op) -> Any:
        share, front = op.attributes["share"], op.attributes["front"]
        return torch.runtime.Keep(share.numerator, share.denominator, **({"front": front} if front else {}))

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class Best(Primitive):
    """The numbers of the `k` tokens of largest score that are present, in ascending order; N where there are fewer.
    f32[B, N], perhaps bool[B, N] -> i64[B, k]"""

    kind = "best"
    reduces = True

    def infer(self, x: Value, mask: Value | None = None, *, k: int) -> tuple[Shape, str]:
        return (x.shape[0], k), "i64"

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def make(self, torch: Any, op: Op) -> Any:
        return torch.runtime.Best(op.attributes["k"])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class TokenProducts(Primitive):
    """The product of each token with each of another row.   [B, N, D], [B, M, D] -> [B, N, M]"""

    kind = "token_products"
    family = "attention"

    def infer(self, x: Value, y: Value) -> tuple[Shape, str]:
        return (*x.shape[:2], y.tokens), x.dtype

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        return 2 * product(shape(op.inputs[0])) * shape(op.inputs[1])[1]

    def backward(self, op: Op, shape: ShapeOf, wanted: Sequence[bool], trained: bool, fused: bool = True) -> Dim:
        return self.flops(op, shape) * (wanted[0] + wanted[1])

    def run(self, torch: Any, module: Any, op: Op, x: Any, y: Any) -> Any:
        return torch.matmul(x, y.transpose(-2, -1))


@primitive
class Picked(Primitive):
    """The tokens with these numbers; the last one for a number that no token has.   [B, N, D], i64[B, K] -> [B, K, D]"""

    kind = "picked"
    gathers = True
    operations = 0

    def infer(self, x: Value, numbers: Value) -> tuple[Shape, str]:
        return (*numbers.shape, *x.shape[2:]), x.dtype

    def mask(self, *_: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any, numbers: Any) -> Any:
        return torch.runtime.picked(x, numbers)


@primitive
class ArePicked(Primitive):
    """Which places hold a token: those whose number a token of `like` has.   i64[B, K], [B, N, D] -> bool[B, K]"""

    kind = "are_picked"

    def infer(self, numbers: Value, like: Value) -> tuple[Shape, str]:
        return numbers.shape, "bool"

    def mask(self, *_: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, numbers: Any, like: Any) -> Any:
        return torch.lt(numbers, like.shape[1])


@primitive
class Rest(Primitive):
    """The sum of the tokens that were not picked, each times its importance.   [B, N, D], f32[B, N], i64[B, K] -> [B, 1, D]"""

    kind = "rest"
    operations = 2
    reduces = True

    def infer(self, x: Value, importance: Value, numbers: Value) -> tuple[Shape, str]:
        return (x.shape[0], 1, x.width), x.dtype

    def mask(self, *_: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.rest(*inputs)


@primitive
class AnyPresent(Primitive):
    """Whether a sample has any token.   bool[B, N] -> bool[B, 1]"""

    kind = "any_present"
    reduces = True

    def infer(self, mask: Value) -> tuple[Shape, str]:
        return (mask.shape[0], 1), "bool"

    def run(self, torch: Any, module: Any, op: Op, mask: Any) -> Any:
        return mask.any(dim=1, keepdim=True)
