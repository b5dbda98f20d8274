"""Primitives that work on each element, and softmax and sums along an axis. None counts as FLOPs here (2 per multiply-add of
matrix products only)."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, broadcast, primitive


class Binary(Primitive):
    """Two values with broadcasting, or a value and the number `scalar`."""

    tokenwise = True

    def infer(self, a: Value, b: Value | None = None, *, scalar: float | None = None) -> tuple[Shape, str]:
        assert (b is None) != (scalar is None)
        return (a.shape if b is None else broadcast(a.shape, b.shape)), a.dtype

    def mask(self, a: Value, b: Value | None = None, **_: Any) -> Value | None:
        return a.mask if a.mask is not None or b is None else b.mask

    def run(self, torch: Any, module: Any, op: Op, a: Any, b: Any = None) -> Any:
        return self.combine(a, op.attributes["scalar"] if b is None else b)

    def combine(self, a: Any, b: Any) -> Any:
        raise NotImplementedError


@primitive
class Add(Binary):
    kind = "add"

    def combine(self, a: Any, b: Any) -> Any:
        return a + b


@primitive
class Subtract(Binary):
    kind = "subtract"

    def combine(self, a: Any, b: Any) -> Any:
        return a - b


@primitive
class SubtractFrom(Binary):
    """scalar - a"""

    kind = "subtract_from"

    def combine(self, a: Any, b: Any) -> Any:
        return b - a


@primitive
class Multiply(Binary):
    kind = "multiply"

    def combine(self, a: Any, b: Any) -> Any:
        return a * b


@primitive
class Maximum(Binary):
    """The larger of two values, entry by entry."""

    kind = "maximum"

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.maximum(*inputs)


@primitive
class Sigmoid(Primitive):
    kind = "sigmoid"
    tokenwise = True
    operations = 4

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.sigmoid(x)


@primitive
class Tanh(Primitive):
    kind = "tanh"
    tokenwise = True

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.tanh(x)


@primitive
class Gelu(Primitive):
    """x Phi(x); exact with the error function, or its `tanh` approximation (arXiv:1606.08415)."""

    kind = "gelu"
    tokenwise = True
    operations = 5

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.nn.functional.gelu(x, **({"approximate": "tanh"} if op.attributes.get("tanh") else {}))


@primitive
class Silu(Primitive):
    """x sigmoid(x)"""

    kind = "silu"
    tokenwise = True
    operations = 5

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.nn.functional.silu(x)


@primitive
class Relu(Primitive):
    """max(x, 0)"""

    kind = "relu"
    tokenwise = True

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.relu(x)


@primitive
class Exp(Primitive):
    kind = "exp"
    tokenwise = True

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.exp(x)


@primitive
class Normalise(Primitive):
    """x / |x|, the Euclidean length over channels.   [..., D] -> [..., D]"""

    kind = "normalise"
    tokenwise = True
    operations = 3

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.nn.functional.normalize(x, dim=-1)


@primitive
class Zero(Primitive):
    """0, of the device and dtype of its input.   [...] -> []"""

    kind = "zero"
    operations = 0

    def infer(self, like: Value) -> tuple[Shape, str]:
        return (), "f32"

    def mask(self, *_: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, like: Any) -> Any:
        return like.new_zeros(())


@primitive
class Softmax(Primitive):
    """Softmax along `axis`. With a mask, bool[B, N] along axis 1, absent tokens get no weight; a row without any gets zeros."""

    kind = "softmax"
    operations = 5

    def infer(self, x: Value, mask: Value | None = None, *, axis: int) -> tuple[Shape, str]:
        if mask is not None and axis != 1:
            raise ShapeError("a token mask applies along axis 1")
        return x.shape, x.dtype

    def is_tokenwise(self, op: Op) -> bool:
        return bool(op.attributes["axis"] == -1)

    def run(self, torch: Any, module: Any, op: Op, x: Any, mask: Any = None) -> Any:
        axis = op.attributes["axis"]
        return torch.softmax(x, dim=axis) if mask is None else torch.runtime.masked_softmax(x, mask)


@primitive
class Sum(Primitive):
    """Sum over tokens.   [B, N, D] -> [B, D]"""

    kind = "sum_tokens"
    reduces = True

    def infer(self, x: Value) -> tuple[Shape, str]:
        return (x.shape[0], *x.shape[2:]), x.dtype

    def mask(self, x: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return x.sum(dim=1)
