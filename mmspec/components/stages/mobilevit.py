"""MobileViT: convolutions look around, a transformer looks from patch to patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.blocks.feed_forward import Activation
from mmspec.components.blocks.transformer import TransformerStack
from mmspec.components.positions.absolute import NoPosition
from mmspec.components.positions.base import Layout, Position
from mmspec.components.stages.base import Odd, Stage, sides
from mmspec.components.stages.convolutional import Layer
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import as_map, rearrange


class MobileVitStage(TransformerStack, Stage):
    """A transformer over places that lie a patch apart, between convolutions.

        y = fold(Transformer(unfold(W C(x))))          tokens at one place of their patches see each other
        x = C([x; C_1x1(y)])                           C a 3 x 3 convolution, batch norm, activation

    Shapes   f32[B, width, H, W] -> the same; inside f32[B * patch^2, H W / patch^2, token_width]
    Raises   ShapeError: patches do not tile the map; the map it is handed has other channels than `width`
    Source   MobileViT, arXiv:2110.02178, fig. 1b
    Differs  a map that patches do not tile is an error; the published network stretches it

        image: {type: pyramid, stages: [{type: mobilevit, token_width: 64, depth: 2, heads: 4}]}
    """

    type: Literal["mobilevit"] = "mobilevit"
    width: PositiveInt = Field(96, description="channels of the map")
    token_width: PositiveInt = Field(144, description="channels of a token")
    depth: PositiveInt = Field(2, description="blocks of the transformer")
    heads: PositiveInt = Field(4, description="attention heads; they must divide the width of a token")
    expansion: PositiveFloat = Field(2.0, description="hidden channels of the feed-forward, as a multiple of the width")
    activation: Activation = Field("silu", description="of the feed-forward and of the convolutions")
    position: Position = Field(default_factory=NoPosition, description="how tokens are told where they stand")
    patch_size: PositiveInt = Field(2, description="side of a patch: places that lie so far apart see each other")
    kernel: Odd = Field(3, description="side of the kernels")
    batch_norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the convolutions' norms")

    def emit(self, g: Scope, x: Value, skipped: Sequence[float]) -> Value:
        x = self.smaller(g, x)
        (rows, columns), p = sides(x), self.patch_size
        if rows % p or columns % p:
            raise ShapeError(f"patches of {p} do not tile a map of {rows} x {columns}", "patch_size")
        layer = Layer("batch", self.batch_norm_eps, activation=self.activation)
        y = layer(g, "local", x, self.width, self.kernel)
        y = g.convolution("unfold", y, self.token_width, 1, bias=False)
        y = rearrange(y, "b d (h p) (w q) -> (b p q) (h w) d", p=p, q=p)
        y = self.tokens(g, y, Layout((rows // p, columns // p)), skipped=skipped)
        y = rearrange(y, "(b p q) (h w) d -> b (h p w q) d", p=p, q=p, h=rows // p, w=columns // p)
        y = layer(g, "fold", as_map(y, rows, columns), self.width, 1)
        return layer(g, "fusion", g.emit("concat", x, y, axis=1), self.width, self.kernel)
