"""Residual blocks of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.blocks.feed_forward import activate
from mmspec.components.stages.base import SkippableStage
from mmspec.components.stages.convolutional import Convolutional, in_a_row
from mmspec.ir import Scope, Value
from mmspec.ir.scope import Body


class ResidualStage(Convolutional, SkippableStage):
    """A bottleneck of three convolutions, or two convolutions, beside the map itself.

        x = f(x + C_1x1(f(C_3x3(f(C_1x1(x))))))       C a convolution and its norm, f the activation
        x = f(x + C_3x3(f(C_3x3(x))))                 without a bottleneck

    The first block brings the map to the stage's size and channels: its 3 x 3 convolution is strided, and where shapes differ
    the map goes through a 1 x 1 convolution and a norm of its own. With norms, a fresh block adds nothing: the gains of its
    last one begin at zero (arXiv:1706.02677, sec. 5.1).

    Shapes   f32[B, C, H, W] -> f32[B, width, H / stride, W / stride]
    Source   Deep Residual Learning, arXiv:1512.03385, fig. 5; the stride as in torchvision's "v1.5"; Big Transfer,
             arXiv:1912.11370, with group norms, standardized weights and `padding: same`

        image: {type: pyramid, stem: {type: convolutions, pool: true}, stages: [{type: residual, width: 256, depth: 3}]}
    """

    type: Literal["residual"] = "residual"
    bottleneck: PositiveInt | None = Field(
        4, description="the 3 x 3 convolution has the width divided by this; null: two 3 x 3 convolutions of full width"
    )
    stride: PositiveInt = Field(1, description="of the first block")

    def emit(self, g: Scope, x: Value, skipped: Sequence[float]) -> Value:
        x = self.downsample.lead(g, "downsample", x, self.width)
        made: dict[tuple[int, float], Body] = {}
        kinds = [(self.stride if i == 0 else 1, rate) for i, rate in enumerate(skipped)]
        return in_a_row(g, x, [made.setdefault(kind, self.block(*kind)) for kind in kinds])

    def block(self, stride: int, skipped: float) -> Body:
        layer, width = self.layer, self.width

        def body(g: Scope, x: Value) -> Value:
            if self.bottleneck:
                inner = max(1, width // self.bottleneck)
                y = layer(g, "convolution1", x, inner, 1)
                y = layer(g, "convolution2", y, inner, 3, stride)
                y = layer(g, "convolution3", y, width, 1, activated=False, silent=True)
            else:
                y = layer(g, "convolution1", x, width, 3, stride)
                y = layer(g, "convolution2", y, width, 3, activated=False, silent=True)
            if y.shape != x.shape:
                x = layer(g, "shortcut", x, width, 1, stride, activated=False)
            return activate(g.drop_path("drop_path", y, skipped) + x, self.activation).named("x")

        return body
