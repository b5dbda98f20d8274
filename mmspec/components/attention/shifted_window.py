"""Attention in the windows of a map."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from mmspec.components.attention.base import Attention
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part, rearrange
from mmspec.spec import FieldError


class ShiftedWindow(Attention):
    """A place sees those of its own window. In every second block the windows are shifted, so that neighbours meet.

    Windows are samples of their own: nothing is computed between them. A map not larger than the window is one window, which is
    not shifted. Positions inside attention are those inside a window.

    Shapes   [B, H W, D] -> [B * windows, window^2, D] and back
    Raises   ShapeError: windows do not tile the map, and `pad` is not said; the tokens are no map, or there are class tokens
    Source   Swin Transformer, arXiv:2103.14030, sec. 3.2; between places that meet only because the map is rolled, scores are
             lowered by 100
    Differs  the published network pads unasked

        image: {type: vit, position: relative_bias, attention: {type: shifted_window, window: 7}}
    """

    type: Literal["shifted_window"] = "shifted_window"
    window: PositiveInt = Field(7, description="side of a window")
    shift: NonNegativeInt | None = Field(
        None, description="places by which windows of every second block are shifted; half a window by default"
    )
    pad: bool = Field(False, description="zeros below and to the right of a map that windows do not tile")

    @model_validator(mode="after")
    def _shift_within_a_window(self) -> Self:
        if self.shift is not None and self.shift >= self.window:
            raise FieldError("shift", f"windows of {self.window} are shifted by less than that, not by {self.shift}")
        return self

    def of_block(self, index: int) -> ShiftedWindow:
        shift = self.window // 2 if self.shift is None else self.shift
        return self.model_copy(update={"shift": shift if index % 2 else 0})

    @property
    def title(self) -> str:
        return "ShiftedWindowAttention" if self.shift else "WindowAttention"

    def within(self, layout: Layout) -> Layout:
        window, _, _, _ = self.places(layout)
        return Layout((window, window))

    def gather(self, g: Scope, x: Value, layout: Layout) -> Value:
        window, shift, (rows, columns), (below, right) = self.places(layout)
        x = rearrange(x, "b (h w) d -> b h w d", h=rows, w=columns).named("places")
        if below or right:
            x = g.emit("pad", x, axis=1, sizes=((0, below), (0, right)), value=0.0).named("places")
        if shift:
            x = g.emit("roll", x, axis=1, shifts=(-shift, -shift)).named("places")
        return rearrange(x, "b (h p) (w q) d -> (b h w) (p q) d", p=window, q=window).named("windows")

    def scatter(self, g: Scope, y: Value, layout: Layout) -> Value:
        window, shift, (rows, columns), (below, right) = self.places(layout)
        sizes = {"h": (rows + below) // window, "w": (columns + right) // window, "p": window, "q": window}
        y = rearrange(y, "(b h w) (p q) d -> b (h p) (w q) d", **sizes).named("places")
        if shift:
            y = g.emit("roll", y, axis=1, shifts=(shift, shift)).named("places")
        if below:
            y = part(y, 0, rows)
        if right:
            y = part(y, 0, columns, axis=2)
        return rearrange(y, "b h w d -> b (h w) d")

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
        window, shift, (rows, columns), (below, right) = self.places(layout)
        if shift:
            rows, columns = rows + below, columns + right
            shape = (rows // window * (columns // window), 1, window**2, window**2)
            apart = g.constant("apart", "shift_mask", rows, columns, window, shift, shape=shape)
            bias = apart if bias is None else (bias + apart).named("bias")
        return g.scores(query, key, value, mask, bias, scale=scale)

    def places(self, layout: Layout) -> tuple[int, int, tuple[int, int], tuple[int, int]]:
        """The window's side, the shift, the map's sides, and what is missing below and to the right."""
        if layout.grid is None or len(layout.grid) != 2 or layout.prefix:
            message = "windows are those of a map" + (", and class tokens stand in none" if layout.prefix else "")
            raise ShapeError(message, "attention")
        rows, columns = layout.grid
        window, shift = self.window, self.shift or 0
        if min(rows, columns) <= window:
            window, shift = min(rows, columns), 0
        missing = (-rows % window, -columns % window)
        if any(missing) and not self.pad:
            fitting = [str(side) for side in range(2, min(rows, columns) + 1) if rows % side == columns % side == 0]
            hint = "`pad: true` fills it up with zeros" + (f"; it is tiled by {', '.join(fitting)}" if fitting else "")
            message = f"windows of {window} do not tile a map of {rows} x {columns}"
            raise ShapeError(message, "attention.window", hint=hint)
        return window, shift, (rows, columns), missing
