"""Positions inside attention: biases of scores by what lies between two tokens, and rotations of queries and keys."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.positions.absolute import sides_of
from mmspec.components.positions.base import Layout, Position
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part


class RelativeBias(Position):
    """A trained bias for each offset between two places of a grid and each head, in every block its own.

        scores = q k^T / sqrt(d) + B[y_q - y_k, x_q - x_k]

    Shapes   table [(2H - 1)(2W - 1), heads]
    Raises   ShapeError: the tokens are no grid, or there are class tokens
    Source   Swin Transformer, arXiv:2103.14030, eq. 4

        image: {type: vit, position: relative_bias}
    """

    type: Literal["relative_bias"] = "relative_bias"
    inside: ClassVar[bool] = True

    def bias(
        self, g: Scope, queries: Value, keys: Value, shared: tuple[Value, ...], layout: Layout, heads: int
    ) -> Value | None:
        if layout.prefix:
            raise ShapeError("relative_bias has no place for class tokens", "position", hint="position: learned has")
        rows, columns = sides_of(layout, "relative_bias")
        places = rows * columns
        offsets = (2 * rows - 1, 2 * columns - 1)
        table = g.parameter("relative_bias", offsets[0] * offsets[1], heads, grid=(0, *offsets))
        index = g.constant("relative_index", "window_index", rows, columns, shape=(places, places), dtype="i64")
        return g.emit("relative_bias", table, index).named("bias")


class RelativeBuckets(Position):
    """A trained bias for each bucket of the distance between two tokens and each head, the same in all blocks: near distances have
    buckets of their own, further ones share logarithmically wider ones.

    Shapes   table [buckets, heads]
    Raises   ShapeError: the tokens are a grid
    Source   T5, arXiv:1910.10683, sec. 2.1

        text: {type: text_transformer, position: {type: relative_buckets, buckets: 32, largest: 128}}
    """

    type: Literal["relative_buckets"] = "relative_buckets"
    inside: ClassVar[bool] = True
    buckets: PositiveInt = Field(32, ge=4, description="how many; where both directions are seen, half for each")
    largest: PositiveInt = Field(128, description="distances from here on share the last bucket")

    def shared(
        self, g: Scope, x: Value, layout: Layout, heads: int, head_width: int, causal: bool
    ) -> tuple[Value, ...]:
        if layout.grid is not None:
            raise ShapeError("relative_buckets are for tokens in a row", "position", hint="relative_bias is for grids")
        length = g.limit(x.tokens)
        table = g.parameter("relative_bias", self.buckets, heads)
        sizes = (length, self.buckets, self.largest, not causal)
        buckets = g.constant("distance_buckets", "distance_buckets", *sizes, shape=(2 * length - 1,), dtype="i64")
        return (g.emit("distance_bias", table, buckets, x, x).named("position_bias"),)

    def bias(
        self, g: Scope, queries: Value, keys: Value, shared: tuple[Value, ...], layout: Layout, heads: int
    ) -> Value | None:
        return shared[0] if queries is keys else None  # what another stack gives stands nowhere


class Rotary(Position):
    """Queries and keys are turned by angles that grow with their place, so that their product depends on the distance alone.

        (q_i, q_j) -> R(place * base^(-2k / d)) (q_i, q_j)       for the k-th pair of channels

    On a grid, each axis turns an equal share of the channels. Class tokens are not turned.

    Shapes   cos and sin [N, d / 2]
    Raises   ShapeError: the channels of a head cannot be paired
    Source   RoFormer, arXiv:2104.09864; pairs (i, i + d/2) as in LLaMA, arXiv:2302.13971; on grids arXiv:2403.13298

        text: {type: text_transformer, position: {type: rotary, base: 10000}}
    """

    type: Literal["rotary"] = "rotary"
    inside: ClassVar[bool] = True
    base: PositiveFloat = Field(10000.0, description="angles fall from 1 to about 1 / base per place")
    order: Literal["halves", "interleaved"] = Field("halves", description="a pair is (i, i + d/2), or two neighbours")

    def shared(
        self, g: Scope, x: Value, layout: Layout, heads: int, head_width: int, causal: bool
    ) -> tuple[Value, ...]:
        x = part(x, layout.prefix) if layout.prefix else x
        sides = layout.grid or (g.limit(x.tokens),)
        if head_width % (2 * len(sides)):
            message = f"rotary positions on {len(sides)} axes pair the channels of a head, and it has {head_width}"
            raise ShapeError(message, "position", hint=f"the width of a head must be a multiple of {2 * len(sides)}")
        places = 1
        for side in sides:
            places *= side
        tables = []
        for name in ("cos", "sin"):
            shape = (places, head_width // 2)
            table = g.constant(name, f"rotary_{name}", head_width, self.base, *sides, shape=shape)
            tables.append(
                table if layout.grid or isinstance(x.tokens, int) else g.emit("first_rows", table, x).named(name)
            )
        return tuple(tables)

    def turned(self, g: Scope, x: Value, shared: tuple[Value, ...], layout: Layout) -> Value:
        return g.emit("rotate", x, *shared, interleaved=self.order == "interleaved", first=layout.prefix)
