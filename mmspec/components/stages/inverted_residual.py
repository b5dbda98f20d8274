"""Inverted bottlenecks: wide inside, narrow between blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.blocks.feed_forward import Activation
from mmspec.components.stages.base import Downsample, Odd, SkippableStage
from mmspec.components.stages.convolutional import Convolutional, in_a_row
from mmspec.ir import Scope, Value
from mmspec.ir.dims import scaled
from mmspec.ir.scope import Body


class InvertedResidual(Convolutional):
    """x + P(f(D(f(E(x))))): E widens the map by a 1 x 1 convolution, D is depthwise, P leads to the stage's channels, without an
    activation; each with a norm. The sum is left out where shapes differ."""

    activation: Activation = Field("silu", description="after the first and the second norm")
    expansion: PositiveFloat = Field(4.0, description="inner channels as a multiple, to the next multiple of 8")
    kernel: Odd = Field(3, description="side of the depthwise kernel")

    def block(self, width: int, stride: int, skipped: float) -> Body:
        layer = self.layer

        def body(g: Scope, x: Value) -> Value:
            channels = x.shape[1]
            assert isinstance(channels, int)
            inner, y = divisible(scaled(channels, self.expansion)), x
            if self.expansion != 1:
                y = layer(g, "expand", y, inner, 1)
            y = layer(g, "depthwise", y, inner, self.kernel, stride, groups=inner)
            y = layer(g, "project", y, width, 1, activated=False)
            return (x + g.drop_path("drop_path", y, skipped) if y.shape == x.shape else y).named("x")

        return body


def divisible(channels: int, by: int = 8) -> int:
    """The nearest multiple, but never below nine tenths."""
    nearest = max(by, (channels + by // 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest


class InvertedResidualStage(InvertedResidual, SkippableStage):
    """Blocks that are wide inside: a 1 x 1 convolution widens, a depthwise one looks around, a 1 x 1 convolution narrows.

        x = x + P(f(D(f(E(x)))))        the first block without the sum where its shape changes

    Shapes   f32[B, C, H, W] -> f32[B, width, H / stride, W / stride]
    Source   MobileNetV2, arXiv:1801.04381, sec. 3.3; silu as in MobileViT, arXiv:2110.02178

        image: {type: pyramid, stages: [{type: inverted_residual, width: 32, depth: 2, stride: 2}]}
    """

    type: Literal["inverted_residual"] = "inverted_residual"
    stride: PositiveInt = Field(1, description="of the first block")

    def emit(self, g: Scope, x: Value, skipped: Sequence[float]) -> Value:
        x = self.downsample.lead(g, "downsample", x, self.width)
        made: dict[tuple[int, float], Body] = {}
        kinds = [(self.stride if i == 0 else 1, rate) for i, rate in enumerate(skipped)]
        return in_a_row(g, x, [made.setdefault(kind, self.block(self.width, *kind)) for kind in kinds])


class InvertedResidualDownsample(InvertedResidual, Downsample):
    """One strided block that is wide inside, before a stage of another kind.

    Shapes   f32[B, C, H, W] -> f32[B, width, H / stride, W / stride]
    Source   MobileViT, arXiv:2110.02178, fig. 1b ("MV2, down 2")

        image: {type: pyramid, stages: [{type: convnext, downsample: inverted_residual}]}
    """

    type: Literal["inverted_residual"] = "inverted_residual"
    stride: PositiveInt = Field(2, description="of the depthwise convolution")

    def emit(self, g: Scope, name: str, x: Value, width: int) -> Value:
        result: Value = g.call(name, "InvertedResidual", self.block(width, self.stride, 0.0), x)
        return result
