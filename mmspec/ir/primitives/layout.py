"""Primitives that move axes and say nothing else."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Dim, Shape, product
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, primitive, shape_text

Groups = tuple[tuple[str, ...], ...]


@primitive
class Rearrange(Primitive):
    """Axes split, moved and joined, in the words of einops (https://einops.rocks).

    "b (h p) (w q) c -> (b h w) (p q) c", sizes {h: 8, w: 8} cuts a map into windows; a split axis may leave out one size.
    What is `strided` stays where it lies in memory: a map made of tokens, for convolutions, which like channels last.
    """

    kind = "rearrange"
    operations = 0

    def infer(self, x: Value, *, pattern: str, sizes: tuple[tuple[str, int], ...], **_: bool) -> tuple[Shape, str]:
        before, after = parsed(pattern)
        if len(before) != len(x.shape):
            raise ShapeError(f"{pattern!r} does not fit {shape_text(x.shape)}")
        known: dict[str, Dim] = dict(sizes)
        for names, size in zip(before, x.shape, strict=True):
            open_names = [name for name in names if name not in known]
            told = product(known[name] for name in names if name in known)
            if not open_names and told == size:
                continue
            if len(open_names) != 1:
                raise ShapeError(f"{pattern!r} does not fit {shape_text(x.shape)}")
            known[open_names[0]] = size if told == 1 else _quotient(size, told, pattern)
        return tuple(product(known[name] for name in names) for names in after), x.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def is_view(self, op: Op) -> bool:
        before, after = parsed(op.attributes["pattern"])
        if "strided" in op.attributes:
            return True
        return [name for names in before for name in names] == [name for names in after for name in names]

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        before, after = parsed(op.attributes["pattern"])
        sizes = dict(op.attributes["sizes"])
        for axis in reversed(range(len(before))):
            if len(before[axis]) > 1:
                x = x.unflatten(axis, tuple(sizes.get(name, -1) for name in before[axis]))
        order = [name for names in before for name in names]
        places = tuple(order.index(name) for names in after for name in names)
        if places != tuple(range(len(places))):
            x = x.permute(*places)
        for axis, names in enumerate(after):
            if len(names) > 1:
                x = x.flatten(axis, axis + len(names) - 1)
        return x if self.is_view(op) else x.contiguous()  # all that follows would run on strided memory


def parsed(pattern: str) -> tuple[Groups, Groups]:
    """The names of each axis on either side."""
    before, after = (_groups(side) for side in pattern.split("->"))
    assert sorted(n for g in before for n in g) == sorted(n for g in after for n in g), pattern
    return before, after


def _groups(side: str) -> Groups:
    groups: list[tuple[str, ...]] = []
    inside: list[str] | None = None
    for word in side.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            inside = []
        elif word == ")":
            assert inside is not None
            groups.append(tuple(inside))
            inside = None
        elif inside is not None:
            inside.append(word)
        else:
            groups.append((word,))
    return tuple(groups)


def _quotient(size: Dim, part: Dim, pattern: str) -> Dim:
    if isinstance(size, int) and isinstance(part, int) and size % part == 0:
        return size // part
    if not isinstance(size, int) and isinstance(part, int) and all(c % part == 0 for c in size.terms.values()):
        return type(size)({monomial: c // part for monomial, c in size.terms.items()})
    raise ShapeError(f"{part} does not divide {size} in {pattern!r}")


@primitive
class Prepend(Primitive):
    """The same tokens in front of every sample's.   [P, D], [B, N, D] -> [B, P + N, D]"""

    kind = "prepend"
    operations = 0

    def infer(self, tokens: Value, x: Value) -> tuple[Shape, str]:
        return (x.shape[0], tokens.shape[0] + x.tokens, x.width), x.dtype

    def mask(self, *_: Value) -> None:
        return None  # `Scope.prepend` joins masks

    def run(self, torch: Any, module: Any, op: Op, tokens: Any, x: Any) -> Any:
        return torch.cat([tokens.expand(x.shape[0], -1, -1), x], dim=1)


@primitive
class Slice(Primitive):
    """Part of an axis: from `start` (counted from the end where negative) to before `stop`, or to the end.
    [..., N, ...] -> [..., stop - start, ...]"""

    kind = "slice"
    operations = 0
    alias = True

    def infer(self, x: Value, *, axis: int, start: int, stop: int | None) -> tuple[Shape, str]:
        size = x.shape[axis]
        first = start if start >= 0 else size + start
        last = size if stop is None else stop if stop >= 0 else size + stop
        shape = list(x.shape)
        shape[axis] = last - first
        if isinstance(shape[axis], int) and (shape[axis] < 0 or (isinstance(size, int) and last > size)):  # type: ignore[operator]
            raise ShapeError(f"{x.name} has {size} along axis {axis}, not {start} to {stop}")
        return tuple(shape), x.dtype

    def mask(self, x: Value, **_: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        a = op.attributes
        part = slice(a["start"] or None, a["stop"])
        axis = a["axis"] % len(op.inputs[0].shape)
        return x[(slice(None),) * axis + (part,)]


@primitive
class Expand(Primitive):
    """A value without a batch for every sample of another's.   [...], [B, ...] -> [B, ...]"""

    kind = "expand"
    operations = 0
    alias = True

    def infer(self, x: Value, like: Value) -> tuple[Shape, str]:
        return (like.shape[0], *x.shape), x.dtype

    def mask(self, *_: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any, like: Any) -> Any:
        return x.expand(like.shape[0], *(-1 for _ in op.inputs[0].shape))


@primitive
class Copies(Primitive):
    """Each sample `count` times in a row.   [B, ...] -> [B * count, ...]"""

    kind = "copies"
    operations = 0

    def infer(self, x: Value, *, count: int) -> tuple[Shape, str]:
        return (x.shape[0] * count, *x.shape[1:]), x.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return x.unsqueeze(1).expand(-1, op.attributes["count"], *(-1 for _ in op.inputs[0].shape[1:])).flatten(0, 1)
