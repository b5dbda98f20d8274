"""Positions that are added to embeddings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.positions.base import Layout, Position
from mmspec.ir import Init, Scope, ShapeError, Value


class NoPosition(Position):
    """Tokens are a set."""

    type: Literal["none"] = "none"


class Learned(Position):
    """One trained vector for each place, class tokens included.

    With a `grid` the places are those of so many rows and columns, and an image of any other size finds its own by bicubic
    interpolation between them, so that one table serves inputs of several sizes (`tie`).

    Shapes   [N, D], N the number of tokens of an image, of its `grid`, or of the longest text
    Raises   ShapeError: a grid for tokens that are no map's
    Source   An Image Is Worth 16x16 Words, arXiv:2010.11929, eq. 1 and sec. 3.2; at every step for smaller views, arXiv:2104.14294

        image: {type: vit, position: learned}
    """

    type: Literal["learned"] = "learned"
    grid: tuple[PositiveInt, PositiveInt] | None = Field(
        None, description="rows and columns of the table, for images of several sizes; the image's own by default"
    )

    def add(self, g: Scope, x: Value, layout: Layout) -> Value:
        if self.grid is not None:
            return x + self.resampled(g, x, layout, self.grid)
        grid = (layout.prefix, *layout.grid) if layout.grid else None
        table = g.parameter("position", g.limit(x.tokens), x.width, grid=grid)
        if not isinstance(x.tokens, int):
            table = g.emit("first_rows", table, x)
        return x + table

    def resampled(self, g: Scope, x: Value, layout: Layout, grid: tuple[int, int]) -> Value:
        """The table at the places of this image.   [prefix + rows * columns, D] -> [N, D]"""
        if layout.map is None:
            message = "a grid of positions is for the patches of an image, and these tokens are none"
            raise ShapeError(message, "position", hint="position: learned, without a grid")
        count = layout.prefix + grid[0] * grid[1]
        table = g.parameter("position", count, x.width, grid=(layout.prefix, *grid))
        return g.emit("resampled", table, layout.map, grid=grid, first=layout.prefix).named("places")


class Learned2d(Position):
    """A trained vector for each row of the grid and one for each column, side by side.

    Shapes   [H, D / 2] and [W, D / 2]
    Raises   ShapeError: the width is odd, or the tokens are no grid, or there are tokens beside it
    Source   An Image Is Worth 16x16 Words, arXiv:2010.11929, appendix D.4

        image: {type: vit, position: learned_2d}
    """

    type: Literal["learned_2d"] = "learned_2d"

    def add(self, g: Scope, x: Value, layout: Layout) -> Value:
        grid = sides_of(layout, "learned_2d")
        if layout.prefix:
            raise ShapeError(
                "learned_2d positions have no place for class tokens", "position", hint="position: learned has"
            )
        if x.width % 2:
            raise ShapeError(f"learned_2d positions need an even width, not {x.width}", "width")
        rows = g.parameter("row_position", grid[0], x.width // 2)
        columns = g.parameter("column_position", grid[1], x.width // 2)
        return x + g.emit("grid", rows, columns).named("position")


class Sinusoidal(Position):
    r"""Fixed waves:  p[2k] = sin(place / base^(2k / D)),  p[2k + 1] = cos(the same).

    The table is kept with the weights, as published checkpoints keep theirs, and counts as parameters that are not trained.

    Shapes   [N, D]
    Raises   ShapeError: the width is odd; class tokens, which have no place
    Source   Attention Is All You Need, arXiv:1706.03762, sec. 3.5; `order: halves` and `last: true` as in Whisper, arXiv:2212.04356

        text: {type: text_transformer, position: sinusoidal}
    """

    type: Literal["sinusoidal"] = "sinusoidal"
    base: PositiveFloat = Field(10000.0, description="the longest wave, in places over two pi")
    order: Literal["interleaved", "halves"] = Field(
        "interleaved", description="sine and cosine by turns, or all sines first"
    )
    last: bool = Field(
        False, description="the last wave is as long as `base` itself, rather than the one that would follow"
    )

    def add(self, g: Scope, x: Value, layout: Layout) -> Value:
        if x.width % 2:
            raise ShapeError(f"sinusoidal positions need an even width, not {x.width}", "width")
        if layout.prefix:
            message = "sinusoidal positions have no place for class tokens"
            raise ShapeError(message, "position", hint="sinusoidal_2d and learned have")
        length = g.limit(x.tokens)
        waves = (length, x.width, self.base, self.last, self.order == "interleaved")
        table = g.parameter("position", length, x.width, init=Init("sinusoidal", arguments=waves), trainable=False)
        return x + (table if isinstance(x.tokens, int) else g.emit("first_rows", table, x))


class Sinusoidal2d(Position):
    """Fixed waves of the column and of the row: side by side (half of the channels each), or added.

    The table is kept with the weights and counts as parameters that are not trained. Class tokens get zeros.

    Shapes   [N, D]
    Raises   ShapeError: the width is no multiple of 4, or the tokens are no grid
    Source   Masked Autoencoders, arXiv:2111.06377, sec. 3; for `combine: add` arXiv:1807.11164

        image: {type: vit, position: sinusoidal_2d}
    """

    type: Literal["sinusoidal_2d"] = "sinusoidal_2d"
    base: PositiveFloat = Field(10000.0, description="the longest wave, in places over two pi")
    combine: Literal["concat", "add"] = Field("concat", description="rows and columns side by side, or summed")

    def add(self, g: Scope, x: Value, layout: Layout) -> Value:
        rows, columns = sides_of(layout, "sinusoidal_2d")
        if x.width % 4:
            raise ShapeError(f"sinusoidal_2d positions need a width that 4 divides, not {x.width}", "width")
        waves = (rows, columns, x.width, self.base, layout.prefix, self.combine == "add")
        init = Init("sinusoidal_grid", arguments=waves)
        grid = (layout.prefix, rows, columns)
        return x + g.parameter(
            "position", layout.prefix + rows * columns, x.width, init=init, trainable=False, grid=grid
        )


def sides_of(layout: Layout, name: str) -> tuple[int, int]:
    """Rows and columns.   Raises ShapeError: the tokens are no grid of two axes"""
    if layout.grid is None or len(layout.grid) != 2:
        found = "a text has none" if layout.grid is None else f"here are {len(layout.grid)} axes"
        raise ShapeError(f"{name} positions need a grid of patches; {found}", "position")
    return layout.grid[0], layout.grid[1]
