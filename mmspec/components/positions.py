"""Where a token stands: tables that are added to embeddings."""

from __future__ import annotations

from typing import ClassVar, Literal

from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Component


class Position(Component):
    """How tokens are told where they stand."""

    role: ClassVar[str] = "position"

    def add(self, g: Scope, x: Value, grid: tuple[int, int] | None) -> Value:
        """x with its positions. `grid` is (rows, columns) of patches, None for a text.   [B, N, D] -> [B, N, D]"""
        raise NotImplementedError


class NoPosition(Position):
    """Tokens are a set."""

    type: Literal["none"] = "none"

    def add(self, g: Scope, x: Value, grid: tuple[int, int] | None) -> Value:
        return x


class Learned(Position):
    """One trained vector for each place.

    Shapes   [N, D], N the number of patches or the longest text
    Source   An Image Is Worth 16x16 Words, arXiv:2010.11929, eq. 1

        image: {type: vit, position: learned}
    """

    type: Literal["learned"] = "learned"

    def add(self, g: Scope, x: Value, grid: tuple[int, int] | None) -> Value:
        table = g.parameter("position", g.limit(x.tokens), x.width)
        if not isinstance(x.tokens, int):
            table = g.emit("first_rows", table, x)
        return x + table


class Learned2d(Position):
    """A trained vector for each row of the grid and one for each column, side by side.

    Shapes   [H, D / 2] and [W, D / 2]
    Raises   ShapeError: the width is odd, or the tokens are no grid
    Source   An Image Is Worth 16x16 Words, arXiv:2010.11929, appendix D.4

        image: {type: vit, position: learned_2d}
    """

    type: Literal["learned_2d"] = "learned_2d"

    def add(self, g: Scope, x: Value, grid: tuple[int, int] | None) -> Value:
        if grid is None:
            raise ShapeError("learned_2d positions need a grid of patches; a text has none", "position")
        if x.width % 2:
            raise ShapeError(f"learned_2d positions need an even width, not {x.width}", "width")
        rows = g.parameter("row_position", grid[0], x.width // 2)
        columns = g.parameter("column_position", grid[1], x.width // 2)
        return x + g.emit("grid", rows, columns).named("position")
