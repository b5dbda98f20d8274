"""ConvNeXt: a depthwise convolution where a transformer has its attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PositiveFloat

from mmspec.components.blocks.feed_forward import Activation, activate
from mmspec.components.stages.base import Odd, SkippableStage, sides
from mmspec.ir import Init, Scope, Value
from mmspec.ir.dims import scaled
from mmspec.ir.functions import as_map, as_tokens
from mmspec.ir.scope import Body


class ConvNextStage(SkippableStage):
    """Each place looks around in its own channel, then its channels are mixed.

        x = x + s * W_2 f(W_1 norm(D(x)))        D a depthwise convolution, s a trained factor for each channel

    Shapes   f32[B, C, H, W] -> f32[B, width, H', W']
    Raises   ShapeError: the map it is handed has other channels than `width`
    Source   A ConvNet for the 2020s, arXiv:2201.03545, fig. 4

        image: {type: pyramid, stages: [{type: convnext, width: 96, depth: 3}]}
    """

    type: Literal["convnext"] = "convnext"
    kernel: Odd = Field(7, description="side of the depthwise kernel, odd")
    expansion: PositiveFloat = Field(4.0, description="inner channels as a multiple of the width")
    activation: Activation = Field("gelu", description="between the two linear layers")
    layer_scale: PositiveFloat | None = Field(1e-6, description="where the trained factors begin; null: none")
    norm_eps: PositiveFloat = Field(1e-6, description="epsilon of the norms")

    def emit(self, g: Scope, x: Value, skipped: Sequence[float]) -> Value:
        x = self.smaller(g, x).named("x")
        made: dict[float, Body] = {}
        bodies = [made.setdefault(rate, self.block(rate)) for rate in skipped]
        return g.stack("blocks", self.depth, bodies, x, class_name="Block")  # type: ignore[no-any-return]

    def block(self, skipped: float) -> Body:
        def body(g: Scope, x: Value) -> Value:
            y = g.convolution("depthwise", x, self.width, self.kernel, padding=self.kernel // 2, groups=self.width)
            y = g.norm("norm", as_tokens(y), self.norm_eps)
            y = activate(g.linear("up", y, max(1, scaled(self.width, self.expansion))), self.activation)
            y = g.linear("down", y, self.width)
            if self.layer_scale:
                y = y * g.parameter("scale", self.width, init=Init("constant", self.layer_scale))
            return (x + as_map(g.drop_path("drop_path", y, skipped), *sides(x))).named("x")

        return body
