"""Primitives that arrange tokens: in rows, in grids, pooled to a vector, masked."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Dim, Shape, product
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, ShapeOf, primitive, shape_text


@primitive
class Concat(Primitive):
    """Values side by side along `axis`: 1 puts tokens in a row, -1 puts channels together."""

    kind = "concat"
    operations = 0

    def infer(self, *inputs: Value, axis: int) -> tuple[Shape, str]:
        first = inputs[0].shape
        axis %= len(first)
        total: Dim = 0
        for value in inputs:
            if len(value.shape) != len(first) or any(
                a != b for i, (a, b) in enumerate(zip(first, value.shape, strict=True)) if i != axis
            ):
                raise ShapeError("cannot put side by side " + " and ".join(shape_text(v.shape) for v in inputs))
            total = total + value.shape[axis]
        return (*first[:axis], total, *first[axis + 1 :]), inputs[0].dtype

    def is_tokenwise(self, op: Op) -> bool:
        return bool(op.attributes["axis"] == -1)

    def mask(self, *inputs: Value, axis: int) -> Value | None:
        return None if axis == 1 else inputs[0].mask  # `Scope.row` joins the masks of tokens in a row

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.cat(inputs, dim=op.attributes["axis"])


@primitive
class Grid(Primitive):
    """Positions of a grid from a table for its rows and one for its columns.   [H, D/2], [W, D/2] -> [H * W, D]"""

    kind = "grid"
    operations = 0

    def infer(self, rows: Value, columns: Value) -> tuple[Shape, str]:
        return (rows.shape[0] * columns.shape[0], rows.width + columns.width), rows.dtype

    def run(self, torch: Any, module: Any, op: Op, rows: Any, columns: Any) -> Any:
        return torch.runtime.grid(rows, columns)


@primitive
class FirstRows(Primitive):
    """As many rows of a table as `like` has tokens.   [L, D], [B, N, ...] -> [N, D]"""

    kind = "first_rows"
    operations = 0
    alias = True

    def infer(self, table: Value, like: Value) -> tuple[Shape, str]:
        return (like.shape[1], *table.shape[1:]), table.dtype

    def run(self, torch: Any, module: Any, op: Op, table: Any, like: Any) -> Any:
        return table[: like.shape[1]]


@primitive
class Channel(Primitive):
    """One channel, kept as an axis.   [..., D] -> [..., 1]"""

    kind = "channel"
    tokenwise = True
    operations = 0
    alias = True

    def infer(self, x: Value, *, index: int) -> tuple[Shape, str]:
        return (*x.shape[:-1], 1), x.dtype

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        index = op.attributes["index"]
        return x[..., index : index + 1]


@primitive
class Pool(Primitive):
    """Tokens to a vector by `how`: mean, max, first, last; absent tokens do not take part, none present gives zeros.
    [B, N, D], mask bool[B, N] -> [B, D]"""

    kind = "pool"
    reduces = True

    def infer(self, x: Value, mask: Value | None = None, *, how: str) -> tuple[Shape, str]:
        return (x.shape[0], *x.shape[2:]), x.dtype

    def mask(self, *inputs: Value, **_: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any, mask: Any = None) -> Any:
        how = op.attributes["how"]
        if mask is not None:
            return getattr(torch.runtime, f"masked_{how}")(x, mask)
        if how in ("first", "last"):
            return x[:, 0 if how == "first" else -1]
        return x.mean(dim=1) if how == "mean" else x.amax(dim=1)


@primitive
class TokenMask(Primitive):
    """Which tokens are present: the caller's mask; or all up to the first `end`; or every id that is not padding, and the first
    where texts have `begun` with a start of their own.   i64[B, N], bool[B, N] -> bool[B, N]"""

    kind = "token_mask"

    def infer(self, ids: Value, given: Value, *, pad: int | None, **_: Any) -> tuple[Shape, str]:
        return ids.shape, "bool"

    def run(self, torch: Any, module: Any, op: Op, ids: Any, given: Any) -> Any:
        unusual = {key: value for key, value in op.attributes.items() if key != "pad"}
        return torch.runtime.token_mask(ids, given, op.attributes["pad"], **unusual)


@primitive
class AllPresent(Primitive):
    """A mask with every token present.   [B, N, D] -> bool[B, N]"""

    kind = "all_present"
    operations = 0

    def infer(self, x: Value) -> tuple[Shape, str]:
        return x.shape[:2], "bool"

    def mask(self, x: Value) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.ones_like(x[:, :, 0], dtype=torch.bool)


@primitive
class InsertTokens(Primitive):
    """Tokens at the places of a text whose id is the placeholder, in order.   [B, N, D], [B, M, D], i64[B, N] -> [B, N, D]"""

    kind = "insert_tokens"
    operations = 0

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.insert_tokens(*inputs, op.attributes["placeholder"])


@primitive
class SpanMeans(Primitive):
    """The mean of each of s equal spans of the tokens that are present, for every s of `scales`, in a row.
    [B, N, D], mask bool[B, N] -> [B, sum(scales), D]"""

    kind = "span_means"

    def infer(self, x: Value, mask: Value | None = None, *, scales: tuple[int, ...]) -> tuple[Shape, str]:
        return (x.shape[0], sum(scales), *x.shape[2:]), x.dtype

    def mask(self, *inputs: Value, **_: Any) -> None:
        return None

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        spans: int = sum(op.attributes["scales"])
        return 2 * spans * product(shape(op.inputs[0]))

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        x, *mask = inputs
        return torch.runtime.span_means(x, op.attributes["scales"], *mask)
