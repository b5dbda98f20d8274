"""Functions that look at memory otherwise, and what copies it where that cannot be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mmspec.cost.rehearsal.dtypes import BOOL, I64, Dtype
from mmspec.cost.rehearsal.tensor import Shape, Tensor, contiguous, new, recorded, row_major
from mmspec.cost.rehearsal.tensor import view as seen


def filled(shape: Sequence[int], x: Tensor) -> Tensor:
    """Zeros of a gradient's type."""
    return new(shape, x.dtype)


def view_strides(x: Tensor, shape: Shape) -> Shape | None:
    """Strides under which memory can be seen in another shape, or None."""
    if contiguous(x.shape, x.strides):
        return row_major(shape)
    if 0 in x.shape:
        return row_major(shape)
    strides: list[int] = [0] * len(shape)
    at = len(shape) - 1
    base, elements, seen_elements = x.strides[-1] if x.strides else 1, 1, 1
    for axis in range(len(x.shape) - 1, -1, -1):
        elements *= x.shape[axis]
        if axis == 0 or (x.shape[axis - 1] != 1 and x.strides[axis - 1] != elements * base):
            while at >= 0 and (seen_elements < elements or shape[at] == 1):
                strides[at] = seen_elements * base
                seen_elements *= shape[at]
                at -= 1
            if seen_elements != elements:
                return None
            if axis > 0:
                base, elements, seen_elements = x.strides[axis - 1], 1, 1
    return tuple(strides) if at == -1 else None


def sizes_of(shape: Sequence[Any], count: int) -> Shape:
    """Sizes as they are given, one of which may be -1."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    known = math.prod(size for size in shape if size != -1)
    return tuple(count // max(known, 1) if size == -1 else int(size) for size in shape)


def view(x: Tensor, *shape: Any) -> Tensor:
    if len(shape) == 1 and isinstance(shape[0], Dtype):
        raise AssertionError("bits are not seen as another type here")
    sizes = sizes_of(shape, x.numel())
    strides = view_strides(x, sizes)
    assert strides is not None, f"{x.shape} with strides {x.strides} is not {sizes}"
    before = x.shape
    return recorded(seen(x, sizes, strides), [x], lambda g, needs: reshape(g, before))


def reshape(x: Tensor, *shape: Any) -> Tensor:
    sizes = sizes_of(shape, x.numel())
    if view_strides(x, sizes) is not None:
        return view(x, sizes)
    return view(copied(x), sizes)


def copied(x: Tensor, preserve: bool = False) -> Tensor:
    """Row by row, unless the order of axes is to stay."""
    return recorded(new(x.shape, x.dtype, x if preserve else None), [x], lambda g, needs: g)


def clone(x: Tensor, memory_format: Any = None) -> Tensor:
    return copied(x, memory_format is None)


def contiguous_(x: Tensor, memory_format: Any = None) -> Tensor:
    return x if contiguous(x.shape, x.strides) else copied(x)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    if not x.shape:
        return reshape(x, 1)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    if start == end:
        return x
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    dim %= x.ndim
    return view(x, (*x.shape[:dim], *sizes_of(sizes, x.shape[dim]), *x.shape[dim + 1 :]))


def permute(x: Tensor, *axes: Any) -> Tensor:
    order = [axis % x.ndim for axis in (axes[0] if isinstance(axes[0], (tuple, list)) else axes)]
    back = [order.index(axis) for axis in range(x.ndim)]
    result = seen(x, [x.shape[axis] for axis in order], [x.strides[axis] for axis in order])
    return recorded(result, [x], lambda g, needs: permute(g, back))


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    order = list(range(x.ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(x, order)


def t(x: Tensor) -> Tensor:
    return transpose(x, 0, 1) if x.ndim == 2 else x


def expand(x: Tensor, *sizes: Any) -> Tensor:
    wanted = list(sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes)
    more = len(wanted) - x.ndim
    shape = (1,) * more + x.shape
    strides = (0,) * more + x.strides
    result = tuple(own if size == -1 else size for size, own in zip(wanted, shape, strict=True))
    steps = tuple(0 if own != size else step for size, own, step in zip(result, shape, strides, strict=True))
    before = x.shape
    return recorded(seen(x, result, steps), [x], lambda g, needs: sum_to(g, before))


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    return expand(x, other.shape)


def sum_to(g: Tensor, shape: Shape) -> Tensor:
    """A gradient for what was broadcast."""
    if g.shape == shape:
        return g
    more = len(g.shape) - len(shape)
    kept = tuple(1 if i < more or shape[i - more] == 1 else size for i, size in enumerate(g.shape))
    total = g if kept == g.shape else new(kept, g.dtype)
    return reshape(total, shape)


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    dim = dim + x.ndim + 1 if dim < 0 else dim
    step = x.strides[dim] * x.shape[dim] if dim < x.ndim else 1
    result = seen(x, (*x.shape[:dim], 1, *x.shape[dim:]), (*x.strides[:dim], step, *x.strides[dim:]))
    return recorded(result, [x], lambda g, needs: squeeze(g, dim))


def squeeze(x: Tensor, dim: int | None = None) -> Tensor:
    axes = [i for i, size in enumerate(x.shape) if size == 1 and (dim is None or i == dim % x.ndim)]
    keep = [i for i in range(x.ndim) if i not in axes]
    before = x.shape
    result = seen(x, [x.shape[i] for i in keep], [x.strides[i] for i in keep])
    return recorded(result, [x], lambda g, needs: view(g, before) if view_strides(g, before) else reshape(g, before))


def narrowed(x: Tensor, dim: int, start: int, size: int, step: int = 1) -> Tensor:
    """Part of an axis; its gradient is one for the whole, with zeros elsewhere."""
    shape = (*x.shape[:dim], size, *x.shape[dim + 1 :])
    strides = (*x.strides[:dim], x.strides[dim] * step, *x.strides[dim + 1 :])
    before = x.shape
    return recorded(seen(x, shape, strides), [x], lambda g, needs: filled(before, g))


def selected(x: Tensor, dim: int) -> Tensor:
    before = x.shape
    result = seen(x, (*x.shape[:dim], *x.shape[dim + 1 :]), (*x.strides[:dim], *x.strides[dim + 1 :]))
    return recorded(result, [x], lambda g, needs: filled(before, g))


def split(x: Tensor, sizes: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    dim %= x.ndim
    total = x.shape[dim]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
    shapes = [(*x.shape[:dim], size, *x.shape[dim + 1 :]) for size in sizes]
    parts = tuple(seen(x, shape, x.strides) for shape in shapes)
    before = x.shape

    def run(gradients: list[Tensor | None], needs: list[bool]) -> Tensor:
        known = next(g for g in gradients if g is not None)
        gradients = [filled(shape, known) if g is None else g for g, shape in zip(gradients, shapes, strict=True)]
        return new(before, known.dtype)

    return recorded(parts, [x], run)


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    return split(x, -(-x.shape[dim] // chunks), dim)


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    return tuple(selected(x, dim % x.ndim) for _ in range(x.shape[dim]))


def detach(x: Tensor) -> Tensor:
    return seen(x, x.shape, x.strides)


def view_as(x: Tensor, other: Tensor) -> Tensor:
    return view(x, other.shape)


def get(x: Tensor, index: Any) -> Tensor:
    """x[index]: slices, numbers, None, ..., and tensors of numbers."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in [part for part in parts if not isinstance(part, Tensor)]:
        place = next(i for i, part in enumerate(parts) if part is Ellipsis)
        taken = sum(part is not None and part is not Ellipsis for part in parts)
        parts[place : place + 1] = [slice(None)] * (x.ndim - taken)
    axis = 0
    numbers: dict[int, Tensor] = {}
    for part in parts:
        if part is None:
            x = unsqueeze(x, axis)
        elif isinstance(part, slice):
            start, stop, step = part.indices(x.shape[axis])
            size = max(0, -(-(stop - start) // step))
            if size != x.shape[axis]:
                x = narrowed(x, axis, start, size, step)
            elif isinstance(index, slice):  # torch makes a view of the whole, too
                x = detach(x) if not x.requires_grad else x
        elif isinstance(part, Tensor):
            numbers[axis] = part
        else:
            x = selected(x, axis)
            continue
        axis += 1
    return indexed(x, numbers) if numbers else x


def indexed(x: Tensor, numbers: dict[int, Tensor]) -> Tensor:
    """Rows by number, along the axes in `numbers`; its gradient adds into zeros."""
    axes = sorted(numbers)
    assert all(part.dtype != BOOL for part in numbers.values()), "what a mask takes is not known"
    shape: Shape = ()
    for part in numbers.values():
        shape = broadcast(shape, part.shape)
    others = [size for axis, size in enumerate(x.shape) if axis not in axes]
    together = axes == list(range(axes[0], axes[-1] + 1))
    front = axes[0] if together else 0
    before = x.shape
    result = new((*others[:front], *shape, *others[front:]), x.dtype)

    def run(g: Tensor, needs: list[bool], *kept: Tensor) -> list[Tensor | None]:
        return [filled(before, g), *(None for _ in axes)]

    return recorded(result, [x, *(numbers[axis] for axis in axes)], run, [numbers[axis] for axis in axes])


def broadcast(a: Shape, b: Shape) -> Shape:
    if a == b:
        return a
    if len(a) < len(b):
        a, b = b, a
    more = len(a) - len(b)
    return tuple(own if i < more or b[i - more] == 1 else b[i - more] for i, own in enumerate(a))


def numbers_like(shape: Sequence[int]) -> Tensor:
    return new(shape, I64)
