"""Convolution, norm, activation: the layer that convolutional networks repeat; stems and stages of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.blocks.feed_forward import Activation, activate
from mmspec.components.stages.base import Downsample, Odd, Stage, sides
from mmspec.ir import Init, Scope, ShapeError, Value
from mmspec.ir.functions import as_map, as_tokens
from mmspec.ir.scope import Body
from mmspec.spec import Component

LEAST = -3.4e38
MapNorm = Literal["batch", "group", "layer", "none"]


@dataclass(frozen=True)
class Layer:
    """activation(norm(convolution(x))), as the modules `name` and `name_norm`."""

    norm: MapNorm = "batch"
    norm_eps: float = 1e-5
    norm_groups: int = 32
    activation: Activation = "relu"
    padding: Literal["half", "same"] = "half"
    standardize: float | None = None

    def __call__(
        self,
        g: Scope,
        name: str,
        x: Value,
        width: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activated: bool = True,
        silent: bool = False,
    ) -> Value:
        """[B, C, H, W] -> [B, width, H / stride, W / stride]. `silent`: fresh, the norm gives nothing.   Raises ShapeError"""
        unusual: dict[str, Any] = {"standardize": self.standardize} if self.standardize else {}
        x, padding = self.padded(g, x, kernel, stride)
        bias = self.norm == "none"
        y = g.convolution(name, x, width, kernel, stride, padding, groups, bias, **unusual)
        y = self.normed(g, f"{name}_norm", y, silent)
        return activate(y, self.activation) if activated else y

    def padded(self, g: Scope, x: Value, kernel: int, stride: int, value: float = 0.0) -> tuple[Value, int]:
        """The map, and what is still to be laid around it. `half` a kernel on each side, or the `same` size after a stride of one:
        as little as ceil(side / stride) places need, the odd one at the end."""
        if self.padding == "half":
            return x, (kernel - 1) // 2
        missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in sides(x)]
        if all(total == missing[0] and total % 2 == 0 for total in missing):
            return x, missing[0] // 2
        return g.emit("pad", x, axis=2, sizes=tuple((m // 2, m - m // 2) for m in missing), value=value), 0

    def normed(self, g: Scope, name: str, x: Value, silent: bool = False) -> Value:
        said: dict[str, Any] = {"eps": self.norm_eps} | ({"init": Init("zeros")} if silent else {})
        if self.norm == "batch":
            return g.emit("batch_norm", x, name=name, **said)
        if self.norm == "group":
            if x.shape[1] % self.norm_groups:  # type: ignore[operator]
                raise ShapeError(f"{self.norm_groups} groups do not divide {x.shape[1]} channels", "norm_groups")
            return g.emit("group_norm", x, name=name, groups=self.norm_groups, **said)
        return x if self.norm == "none" else as_map(g.emit("layer_norm", as_tokens(x), name=name, **said), *sides(x))


class Convolutional(Component):
    """What may be said of convolutions with a norm and an activation."""

    norm: MapNorm = Field("batch", description="after each convolution; without one, convolutions have a bias")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the norms")
    norm_groups: PositiveInt = Field(32, description="of channels, where the norm is of groups")
    activation: Activation = Field("relu", description="after each norm")
    padding: Literal["half", "same"] = Field(
        "half", description="zeros: half a kernel on each side, or as few as the size needs, the odd one at the end"
    )
    standardize: PositiveFloat | None = Field(
        None, description="weights are standardized before they are used, with this epsilon (arXiv:1903.10520)"
    )

    @property
    def layer(self) -> Layer:
        return Layer(self.norm, self.norm_eps, self.norm_groups, self.activation, self.padding, self.standardize)


class Convolutions(Convolutional, Downsample):
    """A stem of several convolutions, and the largest of each 3 x 3 places after them where `pool` is said.

    Shapes   f32[B, C, H, W] -> f32[B, widths[-1], H', W'], each side divided by every stride and by 2 for the pool
    Source   ResNet, arXiv:1512.03385, with `widths: [64], kernel: 7, pool: true`; Early Convolutions Help Transformers See
             Better, arXiv:2106.14881, with several widths and a projection

        image: {type: pyramid, stem: {type: convolutions, widths: [24, 48], projection: true}, stages: [{type: convnext}]}
    """

    type: Literal["convolutions"] = "convolutions"
    widths: tuple[PositiveInt, ...] = Field((64,), min_length=1, description="channels after each convolution")
    kernel: Odd = Field(3, description="side of their kernels")
    strides: tuple[PositiveInt, ...] = Field((2,), description="of each; those not said are 1")
    pool: bool = Field(False, description="a max pool of 3 x 3 places, two apart, after them")
    projection: bool = Field(
        False, description="a 1 x 1 convolution after them, with a bias, to as many channels as what follows has"
    )

    def emit(self, g: Scope, name: str, x: Value, width: int) -> Value:
        if len(self.strides) > len(self.widths):
            raise ShapeError(f"{len(self.strides)} strides for {len(self.widths)} convolutions", "strides")

        def body(g: Scope, x: Value) -> Value:
            strides = (*self.strides, *(1 for _ in self.widths[len(self.strides) :]))
            for i, (channels, stride) in enumerate(zip(self.widths, strides, strict=True), 1):
                x = self.layer(g, f"convolution{i}", x, channels, self.kernel, stride)
            if self.pool:
                # what is laid around the map must not win: nothing is below zero after relu
                x, padding = self.layer.padded(g, x, 3, 2, 0.0 if self.activation == "relu" else LEAST)
                x = g.emit("max_pool", x, kernel=3, stride=2, padding=padding)
            return g.convolution("projection", x, width, 1) if self.projection else x

        result: Value = g.call(name, "Convolutions", body, x, doc="Convolutions before the first stage.")
        return result


class ConvolutionStage(Convolutional, Stage):
    """Convolutions in a row, each with a norm and an activation; the first may be strided.

    Shapes   f32[B, C, H, W] -> f32[B, width, H / stride, W / stride]
    Source   VGG, arXiv:1409.1556; the last 1 x 1 convolution of MobileNetV2, arXiv:1801.04381, with `kernel: 1`

        image: {type: pyramid, stages: [{type: convolution, width: 32, depth: 1, kernel: 1}]}
    """

    type: Literal["convolution"] = "convolution"
    kernel: Odd = Field(3, description="side of the kernels")
    stride: PositiveInt = Field(1, description="of the first convolution")

    def emit(self, g: Scope, x: Value, skipped: Sequence[float]) -> Value:
        x = self.downsample.lead(g, "downsample", x, self.width)

        def block(stride: int) -> Body:
            return lambda g, x: self.layer(g, "convolution", x, self.width, self.kernel, stride)

        return in_a_row(g, x, [block(self.stride if i == 0 else 1) for i in range(self.depth)])


def in_a_row(g: Scope, x: Value, bodies: Sequence[Body]) -> Value:
    """Blocks whose first leads to the stage's size and channels: it is the module `first`, the others are `blocks`."""
    x, rest = g.call("first", "Block", bodies[0], x), list(bodies[1:])
    return g.stack("blocks", len(rest), rest, x, class_name="Block") if rest else x
