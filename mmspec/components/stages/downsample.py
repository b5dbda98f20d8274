"""From a map to a smaller one by one linear operation: patches that overlap or do not, and neighbours put together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from mmspec.components.stages.base import Downsample, sides
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import as_map, as_tokens, rearrange


class Patches(Downsample):
    """Each patch by one convolution, with a norm of the channels after it, before it or not at all.

    Shapes   f32[B, C, H, W] -> f32[B, width, (H + 2 padding - size) / stride + 1, ...]
    Raises   ShapeError: patches that do not overlap do not tile the map
    Source   Swin, arXiv:2103.14030 (stem); PVT v2, arXiv:2106.13797, with `stride` and `padding`; ConvNeXt, arXiv:2201.03545,
             with `norm_order: before` between stages

        image: {type: pyramid, stem: {type: patches, size: 4}, stages: [{type: convnext}]}
    """

    type: Literal["patches"] = "patches"
    size: PositiveInt = Field(4, description="side of a patch")
    stride: PositiveInt | None = Field(None, description="places between patches; as many as their side by default")
    padding: NonNegativeInt = Field(0, description="zeros around the map")
    bias: bool = Field(True, description="of the convolution")
    norm: bool = Field(True, description="a layer norm of the channels")
    norm_order: Literal["after", "before"] = Field("after", description="the convolution, or before it")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the norm")

    def emit(self, g: Scope, name: str, x: Value, width: int) -> Value:
        stride = self.stride or self.size
        if stride == self.size and not self.padding:
            for side in sides(x):
                if side % self.size:
                    message = f"patches of {self.size} do not tile a map of {side}"
                    raise ShapeError(message, "size", hint="`stride` and `padding` make patches that overlap")

        def body(g: Scope, x: Value) -> Value:
            if self.norm and self.norm_order == "before":
                x = self.normed(g, x)
            x = g.convolution("projection", x, width, self.size, stride, self.padding, bias=self.bias)
            return self.normed(g, x) if self.norm and self.norm_order == "after" else x

        result: Value = g.call(name, "Patches", body, x, doc="Each patch as one place of a smaller map.")
        return result

    def normed(self, g: Scope, x: Value) -> Value:
        return as_map(g.norm("norm", as_tokens(x), self.norm_eps), *sides(x))


class PatchMerging(Downsample):
    """Four neighbours put together, a norm, and a linear layer without bias.

        y = W norm([x_00; x_10; x_01; x_11])          x_10 below x_00

    Shapes   f32[B, C, H, W] -> f32[B, width, H / 2, W / 2]
    Raises   ShapeError: a side of the map is odd, and `pad` is not said
    Source   Swin Transformer, arXiv:2103.14030, sec. 3.1
    Differs  the published network pads odd maps unasked

        image: {type: pyramid, stages: [{type: convnext}, {type: convnext, width: 192, downsample: merge}]}
    """

    type: Literal["merge"] = "merge"
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the norm")
    pad: bool = Field(False, description="zeros below and to the right of a map with odd sides")

    def emit(self, g: Scope, name: str, x: Value, width: int) -> Value:
        rows, columns = sides(x)
        if (rows % 2 or columns % 2) and not self.pad:
            message = f"a map of {rows} x {columns} cannot be merged two by two"
            raise ShapeError(message, hint=f"{name}: {{type: merge, pad: true}} fills it up with zeros")

        def body(g: Scope, x: Value) -> Value:
            if rows % 2 or columns % 2:
                x = g.emit("pad", x, axis=2, sizes=((0, rows % 2), (0, columns % 2)), value=0.0)
            x = rearrange(x, "b d (h p) (w q) -> b (h w) (q p d)", p=2, q=2).named("four")
            x = g.linear("reduction", g.norm("norm", x, self.norm_eps), width, bias=False)
            return as_map(x, (rows + 1) // 2, (columns + 1) // 2)

        result: Value = g.call(name, "PatchMerging", body, x, doc="Four neighbours as one.")
        return result
