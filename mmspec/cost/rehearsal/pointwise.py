"""Functions of each element. Where types meet, the processor's kernels first copy what is of the smaller one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmspec.cost.rehearsal.dtypes import BOOL, F32, F64, I64, Dtype
from mmspec.cost.rehearsal.state import STATE
from mmspec.cost.rehearsal.tensor import Tensor, new, recorded
from mmspec.cost.rehearsal.views import broadcast

Number = Any  # a tensor or a number of Python's
RANK = {name: rank for rank, name in enumerate(("bool", "u8", "i32", "i64", "bf16", "f32", "f64"))}


def common(a: Tensor, b: Number) -> Dtype:
    """The type of a result: a number, or a tensor without axes, does not widen one of its own kind."""
    if not isinstance(b, Tensor):
        if isinstance(b, float) and not a.dtype.floating:
            return F32
        return I64 if a.dtype == BOOL and not isinstance(b, bool) else a.dtype
    if a.dtype == b.dtype:
        return a.dtype
    if bool(a.shape) != bool(b.shape) and a.dtype.floating == b.dtype.floating:
        return a.dtype if a.shape else b.dtype
    return a.dtype if RANK[a.dtype.name] >= RANK[b.dtype.name] else b.dtype


def made(shape: tuple[int, ...], dtype: Dtype, *operands: Number) -> Tensor:
    """The result of a function of elements, and while it runs copies of operands in its type."""
    tensors = [x for x in operands if isinstance(x, Tensor)]
    like = next((x for x in tensors if x.shape == shape), None)
    result = new(shape, dtype, like)
    if STATE.meter is not None and not STATE.watched:
        others = [x for x in tensors if x.shape and x.dtype != dtype and x.dtype.floating]
        STATE.meter.touch(sum(x.numel() * dtype.bytes for x in others), STATE.place)
    return result


def cast(x: Tensor, dtype: Dtype) -> Tensor:
    """In another type; the gradient comes back in its own."""
    if x.dtype == dtype:
        return x
    before = x.dtype
    result = new(x.shape, dtype, x)
    return recorded(result, [x], lambda g, needs: cast(g, before)) if dtype.floating else result


def to(x: Tensor, *where: Any, **unusual: Any) -> Tensor:
    """Types only: everything is on one device."""
    wanted = [part for part in (*where, *unusual.values()) if isinstance(part, (Dtype, Tensor))]
    if not wanted:
        return x
    return cast(x, wanted[0] if isinstance(wanted[0], Dtype) else wanted[0].dtype)


def binary(a: Number, b: Number, run: Callable[..., Any], saved: Any = ()) -> Tensor:
    if not isinstance(a, Tensor):
        a, b = b, a
    shape = broadcast(a.shape, b.shape) if isinstance(b, Tensor) else a.shape
    inputs = [x if isinstance(x, Tensor) else None for x in (a, b)]
    return recorded(made(shape, common(a, b), a, b), inputs, run, saved)


def add(a: Number, b: Number, alpha: float = 1) -> Tensor:
    if not isinstance(a, Tensor):
        return add(b, a)
    return binary(a, b, lambda g, needs: [g if need else None for need in needs])


def sub(a: Number, b: Number) -> Tensor:
    if not isinstance(a, Tensor):
        return binary(b, a, lambda g, needs: [plain(g), None])
    return binary(a, b, lambda g, needs: [g if needs[0] else None, plain(g) if needs[1] else None])


def plain(*operands: Any) -> Tensor:
    """A new tensor of elements, of which nobody asks a gradient."""
    tensors = [x for x in operands if isinstance(x, Tensor)]
    first = tensors[0]
    shape, dtype = first.shape, first.dtype
    for x in tensors[1:]:
        shape, dtype = broadcast(shape, x.shape), common(new_like(shape, dtype), x)
    return made(shape, dtype, *operands)


class _Shape:
    """What `common` asks of a tensor."""

    def __init__(self, shape: tuple[int, ...], dtype: Dtype) -> None:
        self.shape, self.dtype = shape, dtype


def new_like(shape: tuple[int, ...], dtype: Dtype) -> Any:
    return _Shape(shape, dtype)


def mul(a: Number, b: Number) -> Tensor:
    if not isinstance(a, Tensor):
        a, b = b, a
    if not isinstance(b, Tensor):
        return binary(a, b, lambda g, needs: [plain(g), None])
    saved = [b if a.requires_grad else None, a if b.requires_grad else None]

    def run(g: Tensor, needs: list[bool], b: Any, a: Any) -> list[Any]:
        left = plain(g, b) if needs[0] else None
        return [left, plain(g, a) if needs[1] else None]

    return binary(a, b, run, saved)


def div(a: Number, b: Number, rounding_mode: str | None = None) -> Tensor:
    if not isinstance(a, Tensor):  # a number over a tensor: its reciprocal times the number
        return mul(reciprocal(b), a)
    floating = a.dtype.floating or (isinstance(b, Tensor) and b.dtype.floating)
    if rounding_mode is not None or not floating:
        result = plain(a, b)
        return result if rounding_mode is not None else made(result.shape, F32, result)
    if not isinstance(b, Tensor):
        return binary(a, b, lambda g, needs: [plain(g), None])

    def run(g: Tensor, needs: list[bool], a: Any, b: Any) -> list[Any]:
        left = plain(g, b) if needs[0] else None
        return [left, [plain(a, b), plain(g), plain(g), plain(g)][-1] if needs[1] else None]

    return binary(a, b, run, [a if b.requires_grad else None, b])


def floordiv(a: Tensor, b: Number) -> Tensor:
    return plain(a, b)


def reciprocal(x: Tensor) -> Tensor:
    return of_result(x, 3)


def of_input(x: Tensor, temporaries: int = 1) -> Tensor:
    """What keeps its input; its backward makes so many tensors, the last the gradient."""
    return recorded(made(x.shape, x.dtype, x), [x], lambda g, needs, x: chained(g, x, temporaries), [x])


def of_result(x: Tensor, temporaries: int = 1) -> Tensor:
    """What keeps its result."""
    result = made(x.shape, x.dtype, x)
    return recorded(result, [x], lambda g, needs, y: chained(g, y, temporaries), [view_of(result)])


def view_of(x: Tensor) -> Tensor:
    """The same without how it came to be: an operation that kept its own result would hold itself."""
    from mmspec.cost.rehearsal.tensor import view

    return view(x, x.shape, x.strides)


def chained(g: Tensor, x: Tensor, temporaries: int) -> Tensor:
    """All of an expression's temporaries live to its end."""
    return [plain(x) for _ in range(temporaries)][-1]


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    return of_input(x)


silu = of_input


def relu(x: Tensor) -> Tensor:
    return of_result(x)


sigmoid = tanh = relu


def exp(x: Tensor) -> Tensor:
    return of_result(x)


def rsqrt(x: Tensor) -> Tensor:
    return of_result(x, 3)


def sqrt(x: Tensor) -> Tensor:
    return of_result(x, 2)


def log(x: Tensor) -> Tensor:
    return of_input(x)


def log10(x: Tensor) -> Tensor:
    return of_input(x, 2)


def sin(x: Tensor) -> Tensor:
    return of_input(x, 2)


cos = abs_ = softplus_kernel = sin


def pow_(x: Tensor, exponent: Number) -> Tensor:
    return of_input(x, 3)


def square(x: Tensor) -> Tensor:
    return pow_(x, 2)


def softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    return of_input(x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return of_input(x)


def neg(x: Tensor) -> Tensor:
    return recorded(made(x.shape, x.dtype, x), [x], lambda g, needs: plain(g))


def clamp(x: Tensor, min: Number = None, max: Number = None) -> Tensor:
    def run(g: Tensor, needs: list[bool], x: Tensor) -> Tensor:
        new(x.shape, BOOL, x)
        return plain(g)

    return recorded(made(x.shape, x.dtype, x), [x], run, [x])


def maximum(a: Tensor, b: Number) -> Tensor:
    def run(g: Tensor, needs: list[bool], a: Tensor, b: Tensor) -> list[Any]:
        def part() -> Tensor:
            held = [plain(g), new(g.shape, BOOL), plain(g)]
            return held[-1]

        return [part() if need else None for need in needs]

    return binary(a, b, run, [a, b if isinstance(b, Tensor) else None])


minimum = maximum


def where(condition: Tensor, a: Number, b: Number) -> Tensor:
    tensors = [x for x in (a, b) if isinstance(x, Tensor)]
    shape = condition.shape
    for x in tensors:
        shape = broadcast(shape, x.shape)
    dtype = tensors[0].dtype if tensors else F32
    if len(tensors) == 2:
        dtype = common(tensors[0], tensors[1])

    def run(g: Tensor, needs: list[bool], condition: Tensor) -> list[Any]:
        return [plain(g) if need else None for need in needs]

    inputs = [None, *(x if isinstance(x, Tensor) else None for x in (a, b))]
    return recorded(made(shape, dtype, *tensors), inputs, run, [condition])


def masked_fill(x: Tensor, mask: Tensor, value: Number) -> Tensor:
    shape = broadcast(x.shape, mask.shape)
    like = x if x.shape == shape else None
    return recorded(new(shape, x.dtype, like), [x, None], lambda g, needs, mask: [plain(g), None], [mask])


def compared(a: Number, b: Number = 0) -> Tensor:
    a, b = (a, b) if isinstance(a, Tensor) else (b, a)
    shape = broadcast(a.shape, b.shape) if isinstance(b, Tensor) else a.shape
    return new(shape, BOOL, a)


def both(a: Tensor, b: Number) -> Tensor:
    """a & b, a | b"""
    return plain(a, b)


def inverted(a: Tensor) -> Tensor:
    return new(a.shape, a.dtype, a)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """The noise is numbers, on a processor; a product with it."""
    if not training or p == 0:
        return x
    noise = new(x.shape, x.dtype, x)
    return mul(x, noise)


def in_place(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def float_(x: Tensor) -> Tensor:
    return cast(x, F32)


def long(x: Tensor) -> Tensor:
    return cast(x, I64)


def double(x: Tensor) -> Tensor:
    return cast(x, F64)


def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    return recorded(new(x.shape, x.dtype), [x], lambda g, needs: plain(g))
