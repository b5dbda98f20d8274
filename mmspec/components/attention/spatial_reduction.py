"""Attention to a smaller map."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.attention.dense import Full
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import as_map, as_tokens


class SpatialReduction(Full):
    """Every place sees the whole map, made smaller: keys and values are those of its patches.

        keys and values of norm(C(x)),    C a convolution with kernel = stride = ratio

    Shapes   keys and values [B, H W / ratio^2, D]
    Raises   ShapeError: patches do not tile the map; the tokens are no map, or there are class tokens; biases of scores
    Source   Pyramid Vision Transformer, arXiv:2102.12122, eq. 4

        image: {type: vit, attention: {type: spatial_reduction, ratio: 2}}
    """

    type: Literal["spatial_reduction"] = "spatial_reduction"  # type: ignore[assignment]
    ratio: PositiveInt = Field(2, description="side of a patch of the map")
    norm_eps: PositiveFloat = Field(1e-6, description="epsilon of the norm of keys and values")

    def context(self, g: Scope, x: Value, layout: Layout) -> Value:
        if layout.grid is None or len(layout.grid) != 2 or layout.prefix:
            message = "a spatial reduction is one of a map" + (", without class tokens" if layout.prefix else "")
            raise ShapeError(message, "attention")
        rows, columns = layout.grid
        if rows % self.ratio or columns % self.ratio:
            message = f"patches of {self.ratio} do not tile a map of {rows} x {columns}"
            raise ShapeError(message, "attention.ratio")
        smaller = g.convolution("reduction", as_map(x, rows, columns), x.width, self.ratio, self.ratio)
        return g.norm("reduction_norm", as_tokens(smaller), self.norm_eps)

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
        if bias is not None:
            raise ShapeError("keys of a smaller map have no place of their own for biases", "position")
        return super().mix(g, query, key, value, layout, mask, None, scale)
