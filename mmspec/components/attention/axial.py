"""Tokens see each other along some axes of their grid."""

from __future__ import annotations

from math import prod
from typing import Literal

from pydantic import Field, NonNegativeInt

from mmspec.components.attention.base import Attention
from mmspec.components.attention.dense import Full
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part, pool, rearrange


class Axial(Attention):
    """Tokens see those that differ from them along `axes` of the grid alone: [0] what was at their own place at other times of a
    clip, [1, 2] their own frame; [1] the own row of an image. Class tokens take part in every such group, and then are the mean of
    what they have become in each.

        cost   N n instead of N^2 scores, n the tokens of a group

    Shapes   [B, N, D] as [B * N / n, n, D] -> [B, N, D]
    Raises   ShapeError: the tokens are no grid, or it has no such axis
    Source   Axial Attention, arXiv:1912.12180, sec. 3; for class tokens TimeSformer, arXiv:2102.05095, sec. 3

        image: {type: vit, attention: {type: axial, axes: [1]}}
    """

    type: Literal["axial"] = "axial"
    axes: tuple[NonNegativeInt, ...] = Field(
        (1,), min_length=1, description="along which tokens see each other, from 0"
    )
    pattern: Attention = Field(default_factory=Full, description="which of a group see which")

    @property
    def is_causal(self) -> bool:
        return self.pattern.is_causal

    def of_block(self, index: int) -> Attention:
        return self.model_copy(update={"pattern": self.pattern.of_block(index)})

    def within(self, layout: Layout) -> Layout:
        return self.pattern.within(self.group(layout))

    def group(self, layout: Layout) -> Layout:
        """Where the tokens of a group stand.   Raises ShapeError"""
        if layout.grid is None:
            message = "axial attention needs a grid of tokens, and a text has none"
            raise ShapeError(message, "attention", hint="attention may be window or dilated for tokens in a row")
        if max(self.axes) >= len(layout.grid) or len(set(self.axes)) < len(self.axes):
            message = f"axes {list(self.axes)} are not axes of a grid of {len(layout.grid)}"
            raise ShapeError(message, "attention", hint=f"axes are counted from 0 to {len(layout.grid) - 1}")
        sides = tuple(layout.grid[axis] for axis in sorted(self.axes))
        return Layout(sides if len(sides) > 1 else None, layout.prefix)

    def gather(self, g: Scope, x: Value, layout: Layout) -> Value:
        row, groups, sides = self._names(layout)
        grouped = rearrange(part(x, layout.prefix) if layout.prefix else x, f"{row} -> {groups}", **sides).named(
            "group"
        )
        if layout.prefix:
            front = g.emit("copies", part(x, 0, layout.prefix), count=self._count(layout)).named("front")
            grouped = g.row(front, grouped).named("group")
        return self.pattern.gather(g, grouped, self.group(layout))

    def scatter(self, g: Scope, y: Value, layout: Layout) -> Value:
        row, groups, sides = self._names(layout)
        y = self.pattern.scatter(g, y, self.group(layout))
        together = rearrange(part(y, layout.prefix) if layout.prefix else y, f"{groups} -> {row}", **sides).named("row")
        if not layout.prefix:
            return together
        fronts = rearrange(part(y, 0, layout.prefix), "(b g) n d -> b g n d", g=self._count(layout))
        return g.row(pool(fronts, "mean").named("front"), together)

    def context(self, g: Scope, x: Value, layout: Layout) -> Value:
        return self.pattern.context(g, x, layout)

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
        return self.pattern.mix(g, query, key, value, self.group(layout), mask, bias, scale)

    def _names(self, layout: Layout) -> tuple[str, str, dict[str, int]]:
        """The tokens in a row and in groups, in the words of `rearrange`.   Raises ShapeError"""
        self.group(layout)
        names = [f"x{axis}" for axis in range(len(layout.grid or ()))]
        along = " ".join(name for axis, name in enumerate(names) if axis in self.axes)
        others = " ".join(name for axis, name in enumerate(names) if axis not in self.axes)
        sides = dict(zip(names, layout.grid or (), strict=True))
        return f"b ({' '.join(names)}) d", f"(b {others}) ({along}) d", sides

    def _count(self, layout: Layout) -> int:
        """How many groups there are."""
        return prod(side for axis, side in enumerate(layout.grid or ()) if axis not in self.axes)
