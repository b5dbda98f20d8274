"""A token sees its surroundings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from mmspec.components.attention.base import Attention, mixed
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value


class Window(Attention):
    """Local attention: a token sees those next to it.

        in a row    n sees m where |n - m| <= size;  causal: 0 <= n - m <= size
        on a grid   windows of size x size that do not overlap: n sees m where both are in the same

    Computed in blocks of `size` queries against three blocks of keys (two where causal), or window by window: the price grows with
    the number of tokens and not with its square. Class tokens and registers see all and are seen by all.

    Shapes   [B, h, N, d] -> [B, h, N, d];  3 N size h products of d channels in a row, N size^2 h on a grid
    Raises   ShapeError: windows do not tile the grid; causal windows on a grid
    Source   Longformer, arXiv:2004.05150, sec. 3.1 (its window w is 2 size); on grids Swin, arXiv:2103.14030, without the shift
    Differs  "a sliding window of W" of causal models counts the token itself: size is W - 1

        text: {type: text_transformer, attention: {type: window, size: 64}}
    """

    type: Literal["window"] = "window"
    size: PositiveInt = Field(64, description="in a row how far a token sees on either side; on a grid a window's side")
    causal: bool = Field(False, description="only itself and what stands before it; rows only")

    def mix(
        self,
        g: Scope,
        query: Value,
        key: Value,
        value: Value,
        layout: Layout,
        mask: Value | None = None,
        bias: Value | None = None,
        scale: float | None = None,
    ) -> Value:
        given = {"mask": mask, "bias": bias}
        said: dict[str, Any] = {"size": self.size, "first": layout.prefix, "causal": self.causal, "scale": scale}
        if layout.grid is None:
            return mixed(g, "local_attention", query, key, value, given, dilation=1, **said)
        check_tiles(layout.grid, self.size, self.causal, "windows", "size")
        return mixed(g, "group_attention", query, key, value, given, sides=layout.grid, strided=False, **said)


def check_tiles(grid: tuple[int, ...], size: int, causal: bool, what: str, field: str) -> None:
    """Raises ShapeError: `size` does not divide a side, or the pattern is causal, and a grid has no before and after"""
    if causal:
        raise ShapeError(f"{what} on a grid are not causal", "attention.causal", hint="leave `causal` out")
    if any(side % size for side in grid):
        sides = " x ".join(map(str, grid))
        fitting = [n for n in range(1, min(grid) + 1) if all(side % n == 0 for side in grid)]
        hint = "the sides can be divided by " + ", ".join(map(str, fitting))
        raise ShapeError(f"{what} of {size} do not tile a grid of {sides}", f"attention.{field}", hint=hint)
