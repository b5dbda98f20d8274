"""What a layout may do to a tensor on its way: rearrange, split, join, unstack, fold. Each works on meta tensors too."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, cat, split_with_sizes
from torch.linalg import vector_norm


class Misfit(Exception):
    """A tensor that an operation cannot be applied to."""


def rearrange(x: Tensor, said: str) -> Tensor:
    """Axes by name: "in out -> out in"; "1" is an axis of size one, which may come and go.

    Raises   Misfit: the tensor has other axes.
    """
    if not said:
        return x
    before, _, after = said.partition("->")
    old, new = before.split(), after.split()
    if x.dim() != len(old) or any(size != 1 for size, axis in zip(x.shape, old, strict=True) if axis == "1"):
        raise Misfit(f"{list(x.shape)} is not ({before.strip()})")
    x = x.reshape([size for size, axis in zip(x.shape, old, strict=True) if axis != "1"])
    named = [axis for axis in old if axis != "1"]
    x = x.permute([named.index(axis) for axis in new if axis != "1"])
    for place, axis in enumerate(new):
        if axis == "1":
            x = x.unsqueeze(place)
    return x


def split(x: Tensor, sizes: Sequence[int], axis: int) -> Sequence[Tensor]:
    """Parts along an axis.   Raises   Misfit: the sizes are not all of it."""
    if x.dim() <= axis or x.shape[axis] != sum(sizes):
        raise Misfit(f"{list(x.shape)} is not {' + '.join(map(str, sizes))} along axis {axis}")
    parts: Sequence[Tensor] = split_with_sizes(x, list(sizes), dim=axis)
    return parts


def join(parts: Sequence[Tensor], axis: int) -> Tensor:
    """One tensor of parts along an axis.   Raises   Misfit: they differ along another."""
    shapes = [[size for i, size in enumerate(part.shape) if i != axis] for part in parts]
    if any(part.dim() <= axis for part in parts) or any(shape != shapes[0] for shape in shapes):
        raise Misfit(f"{', '.join(str(list(part.shape)) for part in parts)} cannot be joined along axis {axis}")
    return cat(list(parts), dim=axis)


def weight_norm(parts: Sequence[Tensor]) -> Tensor:
    """A normalised weight as a plain one:  w = g v / |v|,  |v| over the axes along which g, the lengths, has one value for all
    (arXiv:1602.07868, eq. 2; torch.nn.utils.parametrizations.weight_norm).

    Raises   Misfit: they are not lengths and directions.
    """
    lengths, directions = parts
    sizes = list(zip(lengths.shape, directions.shape, strict=False))
    if lengths.dim() != directions.dim() or any(length not in (1, size) for length, size in sizes):
        raise Misfit(f"{list(lengths.shape)} are no lengths of {list(directions.shape)}")
    axes = [axis for axis, size in enumerate(lengths.shape) if size == 1]
    weight: Tensor = directions * (lengths / vector_norm(directions, dim=axes, keepdim=True))
    return weight
