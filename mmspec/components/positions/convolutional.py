"""Positions that a convolution over neighbours tells."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.blocks.feed_forward import Activation, activate
from mmspec.components.positions.base import Layout, Position
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import only_present, part, rearrange


class Convolutional(Position):
    """What stands around a token tells it where it is, zeros at the border included:  x = x + f(conv(x)).

    Over a row, or over the axes of a grid; class tokens stay as they are, absent tokens count as zeros. Any size of image or text
    will do.

    Shapes   kernel [D, D / groups, kernel, ...]
    Raises   ShapeError: groups do not divide the width; a grid smaller than the kernel reaches
    Source   Conditional Positional Encodings, arXiv:2102.10882, sec. 3.3 (PEG: depthwise, 3 by 3); with `kernel: 128, groups: 16,
             activation: gelu` as in wav2vec 2.0, arXiv:2006.11477
    Differs  the first has it after the first block, here it stands before; the second trains a normalised weight

        image: {type: vit, position: convolutional}
    """

    type: Literal["convolutional"] = "convolutional"
    kernel: PositiveInt = Field(3, description="tokens from side to side that a token is told of")
    groups: PositiveInt | None = Field(None, description="of channels; every channel is its own by default")
    activation: Activation | None = Field(None, description="of what is added")

    def add(self, g: Scope, x: Value, layout: Layout) -> Value:
        first, rest = (part(x, 0, layout.prefix), part(x, layout.prefix)) if layout.prefix else (None, x)
        if rest.mask is not None:
            rest = only_present(rest)
        groups = self.groups or x.width
        if x.width % groups:
            raise ShapeError(f"{groups} groups do not divide {x.width} channels", "position")
        told = self._of_neighbours(g, rest, layout.grid or (), groups)
        placed = rest + (told if self.activation is None else activate(told, self.activation))
        return placed if first is None else g.row(first, placed)

    def _of_neighbours(self, g: Scope, x: Value, grid: tuple[int, ...], groups: int) -> Value:
        """[B, N, D] -> [B, N, D]"""
        axes = " ".join("abcd"[: len(grid)]) or "a"
        sizes = dict(zip(axes.split(), grid, strict=True)) if grid else {}
        told = rearrange(x, f"z ({axes}) y -> z y {axes}", **sizes)
        told = g.convolution("position", told, x.width, self.kernel, padding=self.kernel // 2, groups=groups)
        if self.kernel % 2 == 0:  # there is one place too many
            for axis in range(2, len(told.shape)):
                told = part(told, 0, -1, axis=axis)
        return rearrange(told, f"z y {axes} -> z ({axes}) y")
