"""Primitives of maps: what is laid around them, how they are turned in themselves, the largest of each window."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, primitive, shape_text

Sizes = tuple[int, ...]


@primitive
class Pad(Primitive):
    """`value` laid around the axes from `axis` on: (before, after) for each.   [..., S, ...] -> [..., before + S + after, ...]"""

    kind = "pad"
    operations = 0

    def infer(self, x: Value, *, axis: int, sizes: tuple[tuple[int, int], ...], value: float) -> tuple[Shape, str]:
        shape = list(x.shape)
        for i, (before, after) in enumerate(sizes):
            shape[axis + i] = shape[axis + i] + (before + after)
        return tuple(shape), x.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        a = op.attributes
        behind = len(op.inputs[0].shape) - a["axis"] - len(a["sizes"])
        sizes = (0, 0) * behind + tuple(size for pair in reversed(a["sizes"]) for size in pair)
        return torch.nn.functional.pad(x, sizes, **({"value": a["value"]} if a["value"] else {}))


@primitive
class Roll(Primitive):
    """What leaves an axis at one end comes back at the other; axes from `axis` on, each by its own number of places."""

    kind = "roll"
    operations = 0

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        axis, shifts = op.attributes["axis"], op.attributes["shifts"]
        return torch.roll(x, shifts, tuple(range(axis, axis + len(shifts))))


@primitive
class MaxPool(Primitive):
    """The largest value of each window.   [B, C, H, W] -> [B, C, (H + 2 padding - kernel) / stride + 1, ...]"""

    kind = "max_pool"

    def infer(self, x: Value, *, kernel: int, stride: int, padding: int) -> tuple[Shape, str]:
        sides: list[int] = []
        for side in x.shape[2:]:
            assert isinstance(side, int), "the sizes of a map are fixed"
            if side + 2 * padding < kernel:
                raise ShapeError(f"windows of {kernel} are larger than the map {shape_text(x.shape)}")
            sides.append((side + 2 * padding - kernel) // stride + 1)
        return (*x.shape[:2], *sides), x.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        a = op.attributes
        unusual = {"padding": a["padding"]} if a["padding"] else {}
        return torch.nn.functional.max_pool2d(x, a["kernel"], stride=a["stride"], **unusual)


@primitive
class Resampled(Primitive):
    """A table of places, the `first` of which stand nowhere and the others on a `grid`, for the grid of a map: bicubic where
    they differ.   [first + R * C, D], [B, E, H, W] -> [first + H * W, D]"""

    kind = "resampled"
    operations = 32

    def infer(self, table: Value, map: Value, *, grid: tuple[int, int], first: int) -> tuple[Shape, str]:
        return (first + map.shape[2] * map.shape[3], table.width), table.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, table: Any, map: Any) -> Any:
        return torch.runtime.resampled(table, map, op.attributes["grid"], op.attributes["first"])
