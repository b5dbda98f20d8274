"""Rows picked by number and put at numbers; side by side; repeated; padded; and tensors from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmspec.cost.rehearsal.dtypes import BOOL, F32, I64, Dtype
from mmspec.cost.rehearsal.pointwise import RANK, cast, plain
from mmspec.cost.rehearsal.tensor import Tensor, new, recorded
from mmspec.cost.rehearsal.views import (
    copied,
    expand,
    filled,
    flatten,
    narrowed,
    numbers_like,
    selected,
    sizes_of,
    unsqueeze,
)


def embedding(numbers: Tensor, table: Tensor, *_: Any, **__: Any) -> Tensor:
    shape = table.shape
    result = new((*numbers.shape, shape[1]), table.dtype)
    return recorded(result, [None, table], lambda g, needs, numbers: [None, filled(shape, g)], [numbers])


def index_select(x: Tensor, dim: int, numbers: Tensor) -> Tensor:
    dim %= x.ndim
    before = x.shape
    result = new((*before[:dim], numbers.numel(), *before[dim + 1 :]), x.dtype)
    return recorded(result, [x], lambda g, needs, numbers: filled(before, g), [numbers])


def gather(x: Tensor, dim: int, numbers: Tensor) -> Tensor:
    before = x.shape
    return recorded(new(numbers.shape, x.dtype), [x], lambda g, needs, numbers: filled(before, g), [numbers])


def scatter(x: Tensor, dim: int, numbers: Tensor, source: Any) -> Tensor:
    value = source if isinstance(source, Tensor) else None

    def run(g: Tensor, needs: list[bool], numbers: Tensor) -> list[Any]:
        return [plain(g) if needs[0] else None, new(numbers.shape, g.dtype) if needs[1] else None]

    return recorded(copied(detached(x)), [x, value], run, [numbers])


def index_add(x: Tensor, dim: int, numbers: Tensor, source: Tensor) -> Tensor:
    shape = source.shape
    return recorded(
        copied(detached(x)),
        [x, source],
        lambda g, needs, numbers: [g if needs[0] else None, new(shape, g.dtype) if needs[1] else None],
        [numbers],
    )


def index_copy(x: Tensor, dim: int, numbers: Tensor, source: Tensor) -> Tensor:
    x, source = promoted([x, source])
    shape = source.shape
    return recorded(
        copied(detached(x)),
        [x, source],
        lambda g, needs, numbers: [plain(g) if needs[0] else None, new(shape, g.dtype) if needs[1] else None],
        [numbers],
    )


def detached(x: Tensor) -> Tensor:
    from mmspec.cost.rehearsal.tensor import view

    return view(x, x.shape, x.strides)


def promoted(tensors: Sequence[Tensor]) -> list[Tensor]:
    widest = max((x.dtype for x in tensors), key=lambda dtype: RANK[dtype.name])
    return [cast(x, widest) for x in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    tensors = promoted(tensors)
    dim %= tensors[0].ndim
    sizes = [x.shape[dim] for x in tensors]
    first = tensors[0].shape
    like = new_strides(tensors, (*first[:dim], sum(sizes), *first[dim + 1 :]))

    def run(g: Tensor, needs: list[bool]) -> list[Any]:
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        return [narrowed(g, dim, at, n) if need else None for at, n, need in zip(starts, sizes, needs, strict=True)]

    return recorded(like, tensors, run)


def new_strides(tensors: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Side by side in the order of axes that all of them have."""
    first = tensors[0]
    if len(shape) == 4 and all(is_channels_last(x) for x in tensors):
        _, c, h, w = shape
        return Tensor(shape, first.dtype, new(shape, first.dtype).storage, (c * h * w, 1, w * c, c))
    return new(shape, first.dtype)


def is_channels_last(x: Tensor) -> bool:
    if x.ndim != 4 or x.is_contiguous():
        return False
    _, c, h, w = x.shape
    return x.strides == (c * h * w, 1, w * c, c)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    tensors = promoted(tensors)
    dim = dim % (tensors[0].ndim + 1)
    shape = tensors[0].shape
    result = new((*shape[:dim], len(tensors), *shape[dim:]), tensors[0].dtype)
    return recorded(result, tensors, lambda g, needs: [selected(g, dim) if need else None for need in needs])


def repeat(x: Tensor, *sizes: Any) -> Tensor:
    times = sizes_of(sizes, 1) if -1 not in sizes else ()
    more = len(times) - x.ndim
    shape = (1,) * more + x.shape
    result = new([size * n for size, n in zip(shape, times, strict=True)], x.dtype)
    before = x.shape
    return recorded(result, [x], lambda g, needs: filled(before, g))


def repeat_interleave(x: Tensor, repeats: int, dim: int) -> Tensor:
    dim %= x.ndim
    spread = unsqueeze(x, dim + 1)
    shape = (*x.shape[: dim + 1], repeats, *x.shape[dim + 1 :])
    return flatten(copied(expand(spread, shape)), dim, dim + 1)


def pad(x: Tensor, sizes: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    shape = list(x.shape)
    for i in range(len(sizes) // 2):
        shape[-1 - i] += sizes[2 * i] + sizes[2 * i + 1]
    before = x.shape
    return recorded(new(shape, x.dtype), [x], lambda g, needs: filled(before, g))


def roll(x: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    return recorded(new(x.shape, x.dtype), [x], lambda g, needs: new(g.shape, g.dtype))


def one_hot(x: Tensor, num_classes: int) -> Tensor:
    return numbers_like((*x.shape, num_classes))


def nonzero(x: Tensor) -> Tensor:
    """All: as many as there can be."""
    return numbers_like((x.numel(), x.ndim))


def bincount(x: Tensor, minlength: int = 0) -> Tensor:
    result = numbers_like((minlength + 1,))
    result.counted = x.numel()
    return result


def multinomial(x: Tensor, count: int) -> Tensor:
    return numbers_like((*x.shape[:-1], count))


def typed(dtype: Dtype | None, otherwise: Dtype) -> Dtype:
    return otherwise if dtype is None else dtype


def zeros(*shape: Any, dtype: Dtype | None = None, **_: Any) -> Tensor:
    return new(sizes_of(shape, 1) if shape != ((),) else (), typed(dtype, F32))


def full(shape: Sequence[int], value: Any, dtype: Dtype | None = None, **_: Any) -> Tensor:
    return new(shape, typed(dtype, F32 if isinstance(value, float) else I64))


def zeros_like(x: Tensor, *_: Any, dtype: Dtype | None = None, **__: Any) -> Tensor:
    return new(x.shape, typed(dtype, x.dtype), x)


def new_zeros(x: Tensor, *shape: Any, dtype: Dtype | None = None, **_: Any) -> Tensor:
    return new(sizes_of(shape, 1) if shape != ((),) else (), typed(dtype, x.dtype))


def arange(*ends: Any, dtype: Dtype | None = None, **_: Any) -> Tensor:
    start, stop, step = (0, ends[0], 1) if len(ends) == 1 else (*ends, 1)[:3]
    return new((max(0, -(-(int(stop) - int(start)) // int(step))),), typed(dtype, I64))


def eye(rows: int, columns: int | None = None, dtype: Dtype | None = None, **_: Any) -> Tensor:
    return new((rows, columns or rows), typed(dtype, F32))


def tensor(value: Any, dtype: Dtype | None = None, **_: Any) -> Tensor:
    shape: list[int] = []
    inner = value
    while isinstance(inner, (tuple, list)):
        shape.append(len(inner))
        inner = inner[0] if inner else 0.0
    natural = BOOL if isinstance(inner, bool) else I64 if isinstance(inner, int) else F32
    return new(shape, typed(dtype, natural))


def linspace(start: float, stop: float, count: int, dtype: Dtype | None = None, **_: Any) -> Tensor:
    return new((count,), typed(dtype, F32))
