"""Convolutions in front of a transformer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mmspec.components.blocks.feed_forward import Activation, activate
from mmspec.ir import Scope, ShapeError, Value, unreadable
from mmspec.spec import Encoder, FieldError


class ConvStem(Encoder):
    """A few small convolutions in a row, each with a norm and an activation. A vit that reads it with patches of one place has a
    convolutional stem in place of its patch embedding.

    Shapes   f32[B, C, H, W] -> f32[B, widths[-1], H / S, W / S], S the product of the strides
    Raises   ShapeError: the input is no map; a stride does not divide a side
    Source   Early Convolutions Help Transformers See Better, arXiv:2106.14881, sec. 4.1 and appendix A (here ViT_C-1GF's)

        stem:  {type: conv_stem, from: image, widths: [16, 24], strides: [2, 2]}
        image: {type: vit, from: stem, patch_size: 1, width: 128, depth: 3, heads: 4}
    """

    type: Literal["conv_stem"] = "conv_stem"
    widths: tuple[PositiveInt, ...] = Field((24, 48, 96, 192), min_length=1, description="channels after each layer")
    strides: tuple[PositiveInt, ...] = Field((2, 2, 2, 2), description="places from one to the next, for each layer")
    kernel: PositiveInt = Field(3, description="side of the filters")
    norm: Literal["batch", "none"] = Field("batch", description="after each convolution")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the norms")
    activation: Activation = Field("relu", description="after each norm")

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if self.kernel % 2 == 0:
            raise FieldError("kernel", f"a kernel of {self.kernel} has no middle", hint="kernel: 3")
        if len(self.widths) != len(self.strides):
            message = f"{len(self.strides)} strides for {len(self.widths)} layers"
            raise FieldError("strides", message, hint="widths: [16, 24], strides: [2, 2]")
        return self

    def emit(self, g: Scope, image: Value) -> Value:
        x = image
        if len(x.shape) != 4:
            raise unreadable("a conv_stem", "an image or a map", image)
        for index, (width, stride) in enumerate(zip(self.widths, self.strides, strict=True)):
            if any(isinstance(side, int) and side % stride for side in x.shape[2:]):
                raise ShapeError(
                    f"a stride of {stride} does not divide the sides {x.shape[2]} and {x.shape[3]}", "strides"
                )
            bias = self.norm == "none"
            x = g.convolution(f"conv{index}", x, width, self.kernel, stride, self.kernel // 2, bias=bias)
            if self.norm == "batch":
                x = g.emit("batch_norm", x, name=f"norm{index}", eps=self.norm_eps)
            x = activate(x, self.activation)
        return x
