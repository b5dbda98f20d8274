"""Transformer blocks on a map, with any attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.blocks.feed_forward import activate
from mmspec.components.blocks.transformer import TransformerStack
from mmspec.components.positions.absolute import NoPosition
from mmspec.components.positions.base import Layout, Position
from mmspec.components.routers.dense import Dense
from mmspec.components.stages.base import Odd, Stage, sides
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.dims import scaled
from mmspec.ir.functions import as_map, as_tokens, part
from mmspec.ir.scope import Body


class TransformerStage(TransformerStack, Stage):
    """Places of a map as tokens of transformer blocks, in windows, with fewer keys, or each seeing all.

    Shapes   f32[B, C, H, W] -> f32[B, width, H', W']; with a class token f32[B, 1 + H' W', width] too
    Raises   ShapeError: the map it is handed has other channels than `width`; heads do not divide the width
    Source   Swin, arXiv:2103.14030, with `attention: shifted_window`; PVT, arXiv:2102.12122, with `attention: spatial_reduction`

        image: {type: pyramid, stages: [{type: transformer, width: 96, depth: 2, heads: 3, attention: full}]}
    """

    type: Literal["transformer"] = "transformer"
    width: PositiveInt = Field(96, description="channels of the map")
    depth: PositiveInt = Field(2, description="blocks")
    position: Position = Field(default_factory=NoPosition, description="how tokens are told where they stand")
    final_norm: bool = Field(False, description="a norm after the last block")
    depthwise: Odd | None = Field(
        None,
        description="a depthwise convolution inside the feed-forward, before its activation: the side of its kernel",
    )
    class_token: bool = Field(False, description="a trained token in front, which heads may read as `image.class`")

    def emit(self, g: Scope, x: Value, skipped: Sequence[float]) -> Value | Mapping[str, Value]:
        x = self.smaller(g, x)
        places, count = sides(x), int(self.class_token)
        x = as_tokens(x)
        if self.class_token:
            x = g.prepend("class_token", 1, x)
        x = self.tokens(g, x, Layout(places, count), skipped=skipped)
        if not self.class_token:
            return as_map(x, *places)
        return {"": as_map(part(x, 1), *places), "tokens": x.named("tokens")}

    def network(self, routed: bool, layout: Layout) -> Body:
        if self.depthwise is None:
            return super().network(routed, layout)
        if self.gated or layout.prefix or (routed and not isinstance(self.router, Dense)):
            hint = "it goes without gates, class tokens and experts"
            raise ShapeError("a depthwise convolution looks at whole maps", "depthwise", hint=hint)
        kernel, grid = self.depthwise, layout.grid
        assert grid is not None

        def network(g: Scope, x: Value) -> Value:
            hidden = self.hidden or max(1, scaled(x.width, self.expansion))

            def mixed(g: Scope, x: Value) -> Value:
                y = as_map(g.linear("up", x, hidden, self.bias), grid[0], grid[1])
                y = g.convolution("depthwise", y, hidden, kernel, padding=kernel // 2, groups=hidden, bias=self.bias)
                y = activate(as_tokens(y), self.activation)
                return g.linear("down", g.dropout("dropout", y, self.dropout), x.width, self.bias)

            result: Value = g.call("feed_forward", "ConvolutionalFeedForward", mixed, x)
            return result

        return network
