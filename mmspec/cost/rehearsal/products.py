"""Matrix products, as the linear layer and `matmul` compose them, and autocast, which hands them smaller types."""

from __future__ import annotations

import math
from typing import Any

from mmspec.cost.rehearsal.dtypes import F32
from mmspec.cost.rehearsal.pointwise import cast
from mmspec.cost.rehearsal.state import STATE
from mmspec.cost.rehearsal.tensor import Tensor, contiguous, new, recorded
from mmspec.cost.rehearsal.views import broadcast, expand, reshape, squeeze, t, unsqueeze, view


def lower(x: Tensor | None) -> Tensor | None:
    """Under autocast a copy in the smaller type: of a weight one until its block ends."""
    target = STATE.autocast
    if x is None or target is None or x.dtype != F32:
        return x
    casts = STATE.casts
    if casts is None or not (x.requires_grad and x.node is None and not x.view_of):
        return cast(x, target)
    if id(x) not in casts:
        casts[id(x)] = cast(x, target)
    result: Tensor = casts[id(x)]
    return result


def wider(x: Tensor) -> Tensor:
    """What autocast wants in single precision."""
    return cast(x, F32) if STATE.autocast is not None else x


def mm(a: Tensor, b: Tensor) -> Tensor:
    """[n, k], [k, m] -> [n, m]"""
    b, a = lower(b), lower(a)  # type: ignore[assignment]
    result = new((a.shape[0], b.shape[1]), a.dtype)
    return recorded(result, [a, b], _mm_back, [a if b.requires_grad else None, b if a.requires_grad else None])


def _mm_back(g: Tensor, needs: list[bool], a: Any, b: Any) -> list[Any]:
    right = _in_order_of(t(a), g) if needs[1] else None  # first, other than `addmm` does
    return [new((g.shape[0], b.shape[0]), g.dtype) if needs[0] else None, right]


def _in_order_of(a: Tensor, g: Tensor) -> Tensor:
    """a g, as the weight lies in memory, which is transposed."""
    return t(new((g.shape[-1], a.shape[0]), g.dtype))


def addmm(bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
    b, a, bias = lower(b), lower(a), lower(bias)  # type: ignore[assignment]
    width = bias.shape

    def run(g: Tensor, needs: list[bool], a: Any, b: Any) -> list[Any]:
        left = new((g.shape[0], b.shape[0]), g.dtype) if needs[1] else None
        right = _in_order_of(t(a), g) if needs[2] else None
        return [new(width, g.dtype) if needs[0] else None, left, right]

    result = new((a.shape[0], b.shape[1]), a.dtype)
    return recorded(result, [bias, a, b], run, [a if b.requires_grad else None, b if a.requires_grad else None])


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """[B, n, k], [B, k, m] -> [B, n, m]"""
    b, a = lower(b), lower(a)  # type: ignore[assignment]

    def run(g: Tensor, needs: list[bool], a: Any, b: Any) -> list[Any]:
        right = new((a.shape[0], a.shape[2], g.shape[2]), g.dtype) if needs[1] else None
        return [new((g.shape[0], g.shape[1], b.shape[1]), g.dtype) if needs[0] else None, right]

    result = new((a.shape[0], a.shape[1], b.shape[2]), a.dtype)
    return recorded(result, [a, b], run, [a if b.requires_grad else None, b if a.requires_grad else None])


def matmul(a: Tensor, b: Tensor) -> Tensor:
    b, a = lower(b), lower(a)  # type: ignore[assignment]
    if a.ndim == b.ndim == 2:
        return mm(a, b)
    if a.ndim == 1 or b.ndim == 1:
        left, right = (unsqueeze(a, 0) if a.ndim == 1 else a), (unsqueeze(b, 1) if b.ndim == 1 else b)
        result = matmul(left, right)
        return squeeze(squeeze(result, -1) if b.ndim == 1 else result, -2 if b.ndim > 1 else -1)
    if b.ndim == 2:  # one matrix for all
        rows = reshape(a, (-1, a.shape[-1]))
        return view(mm(rows, b), (*a.shape[:-1], b.shape[1]))
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    count = math.prod(batch)
    a3 = reshape(expand(a, (*batch, *a.shape[-2:])), (count, *a.shape[-2:]))
    b3 = reshape(expand(b, (*batch, *b.shape[-2:])), (count, *b.shape[-2:]))
    return view(bmm(a3, b3), (*batch, a.shape[-2], b.shape[-1]))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b.   [..., D] -> [..., width]"""
    bias, weight, x = lower(bias), lower(weight), lower(x)  # type: ignore[assignment]
    shape = (*x.shape[:-1], weight.shape[0])
    if bias is not None and x.ndim == 2:
        return addmm(bias, x, t(weight))
    if bias is not None and contiguous(x.shape, x.strides):
        rows = view(x, (-1, x.shape[-1]))
        return view(addmm(bias, rows, t(weight)), shape)
    product = matmul(x, t(weight))
    if bias is None:
        return product
    # added in place, but for whoever watches
    result = new(shape, product.dtype) if STATE.watched else view(_bare(product), shape)
    return recorded(result, [product, bias], lambda g, needs: [g if need else None for need in needs])


def _bare(x: Tensor) -> Tensor:
    from mmspec.cost.rehearsal.tensor import view as seen

    return seen(x, x.shape, x.strides)
