"""Sums, means, maxima and softmax along axes, and what sorts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from mmspec.cost.rehearsal.dtypes import BOOL, F32, I64, Dtype
from mmspec.cost.rehearsal.pointwise import cast, made, of_input, plain, view_of
from mmspec.cost.rehearsal.state import STATE
from mmspec.cost.rehearsal.tensor import Shape, Tensor, new, recorded
from mmspec.cost.rehearsal.views import expand, numbers_like, reshape

Axes = int | Sequence[int] | None


class Ranked(NamedTuple):
    """What is largest, and where."""

    values: Tensor
    indices: Tensor


def reduced(x: Tensor, dim: Axes, keepdim: bool) -> tuple[Shape, Shape]:
    """The shape that is left, and the same with the axes kept as 1."""
    axes = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {axis % x.ndim for axis in axes} if x.ndim else set()
    kept = tuple(1 if i in gone else size for i, size in enumerate(x.shape))
    return (kept if keepdim else tuple(size for i, size in enumerate(x.shape) if i not in gone)), kept


def sum_(x: Tensor, dim: Axes = None, keepdim: bool = False, dtype: Dtype | None = None) -> Tensor:
    shape, kept = reduced(x, dim, keepdim)
    before = x.shape
    result = new(shape, dtype or (x.dtype if x.dtype.floating else I64))
    return recorded(result, [x], lambda g, needs: expand(reshape(g, kept), before))


def mean(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    shape, kept = reduced(x, dim, keepdim)
    before, dtype = x.shape, x.dtype
    if dtype != F32 and not STATE.watched:  # summed in single precision
        assert STATE.meter is not None
        STATE.meter.touch(x.numel() * 4 + math.prod(shape) * 4, STATE.place)

    def run(g: Tensor, needs: list[bool]) -> Tensor:
        return made(before, dtype, expand(reshape(g, kept), before))

    return recorded(new(shape, dtype), [x], run)


def extreme(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The largest or the smallest. Equal ones share the gradient."""
    shape, kept = reduced(x, dim, keepdim)
    result = new(shape, x.dtype)

    def run(g: Tensor, needs: list[bool], x: Tensor, y: Tensor) -> Tensor:
        mask = new(x.shape, BOOL)
        assert STATE.meter is not None
        count = new(kept, I64)
        STATE.meter.touch(mask.numel() * 8, STATE.place)
        share = new(kept, g.dtype)
        del count
        factor = made(x.shape, g.dtype, share)
        del factor
        return new(x.shape, g.dtype)

    return recorded(result, [x], run, [x, view_of(result)])


def most(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """max and min: with an axis, also where."""
    if dim is None:
        return extreme(x)
    shape, _ = reduced(x, dim, keepdim)
    before = x.shape
    values, places = new(shape, x.dtype), numbers_like(shape)
    recorded(values, [x], lambda g, needs, places: new(before, g.dtype), [places])
    return Ranked(values, places)


def argmost(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    return numbers_like(reduced(x, dim, keepdim)[0])


def any_(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    return new(reduced(x, dim, keepdim)[0], BOOL)


def var(x: Tensor, dim: Axes = None, unbiased: bool = True, keepdim: bool = False, correction: Any = None) -> Tensor:
    shape, kept = reduced(x, dim, keepdim)

    def run(g: Tensor, needs: list[bool], x: Tensor) -> Tensor:
        scaled = new(kept, g.dtype)
        centred = plain(x)
        return made(x.shape, g.dtype, plain(scaled), centred)

    return recorded(new(shape, x.dtype), [x], run, [x])


def var_mean(x: Tensor, dim: Axes = None, keepdim: bool = False, correction: Any = None) -> tuple[Tensor, Tensor]:
    shape, kept = reduced(x, dim, keepdim)

    def run(gradients: list[Any], needs: list[bool], x: Tensor) -> Tensor:
        centred = plain(x)
        first = plain(centred)
        return plain(first, new(kept, x.dtype))

    return recorded((new(shape, x.dtype), new(shape, x.dtype)), [x], run, [x])


def softmax(x: Tensor, dim: int, dtype: Dtype | None = None) -> Tensor:
    x = cast(x, dtype) if dtype is not None else x
    result = new(x.shape, x.dtype)
    return recorded(result, [x], lambda g, needs, y: new(y.shape, y.dtype), [view_of(result)])


log_softmax = softmax


def logsumexp(x: Tensor, dim: Axes, keepdim: bool = False) -> Tensor:
    shape, _ = reduced(x, dim, keepdim)
    result = new(shape, x.dtype)
    touched(x)

    def run(g: Tensor, needs: list[bool], x: Tensor, y: Tensor) -> Tensor:
        exps = plain(plain(x))
        return plain(exps)

    return recorded(result, [x], run, [x, view_of(result)])


def touched(x: Tensor) -> None:
    assert STATE.meter is not None
    STATE.meter.touch(x.bytes, STATE.place)


def length(x: Tensor, dim: Axes, keepdim: bool) -> Tensor:
    """The Euclidean length along axes."""
    shape, _ = reduced(x, dim, keepdim)
    result = new(shape, x.dtype)

    def run(g: Tensor, needs: list[bool], x: Tensor, y: Tensor) -> Tensor:
        ratio = plain(x)
        return plain(ratio)

    return recorded(result, [x], run, [x, view_of(result)])


def cumsum(x: Tensor, dim: int) -> Tensor:
    dtype = x.dtype if x.dtype.floating else I64
    return recorded(new(x.shape, dtype, x), [x], lambda g, needs: plain(plain(plain(g))))


def topk(x: Tensor, k: int, dim: int = -1, **_: Any) -> Ranked:
    dim %= x.ndim
    shape = (*x.shape[:dim], k, *x.shape[dim + 1 :])
    before = x.shape
    values, places = new(shape, x.dtype), numbers_like(shape)
    recorded(values, [x], lambda g, needs, places: new(before, g.dtype), [places])
    return Ranked(values, places)


def sort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Ranked:
    return topk(x, x.shape[dim], dim)


def argsort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    return sort(x, dim)[1]


def prod(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    return recorded(new(reduced(x, dim, keepdim)[0], x.dtype), [x], lambda g, needs, x: plain(plain(x)), [x])


def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(|x|, eps)"""
    from mmspec.cost.rehearsal.pointwise import clamp, div

    return div(x, expand(clamp(length(x, dim, True), eps), x.shape))


def logsigmoid(x: Tensor) -> Tensor:
    buffer = plain(x)
    return (
        recorded(plain(x), [x], lambda g, needs, x, buffer: plain(x), [x, buffer]) if x.dtype.floating else of_input(x)
    )
