"""Convolutions in front of a transformer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from mmspec.components.stages.base import Odd
from mmspec.components.stages.convolutional import Convolutional
from mmspec.ir import Scope, ShapeError, Value, unreadable
from mmspec.spec import Encoder, FieldError


class ConvStem(Convolutional, Encoder):
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
    kernel: Odd = Field(3, description="side of the filters")

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if len(self.widths) != len(self.strides):
            message = f"{len(self.strides)} strides for {len(self.widths)} layers"
            raise FieldError("strides", message, hint="widths: [16, 24], strides: [2, 2]")
        return self

    def emit(self, g: Scope, image: Value) -> Value:
        x = image
        if len(x.shape) != 4:
            raise unreadable("a conv_stem", "an image or a map", image)
        for number, (width, stride) in enumerate(zip(self.widths, self.strides, strict=True), 1):
            if any(isinstance(side, int) and side % stride for side in x.shape[2:]):
                message = f"a stride of {stride} does not divide the sides {x.shape[2]} and {x.shape[3]}"
                raise ShapeError(message, "strides")
            x = self.layer(g, f"convolution{number}", x, width, self.kernel, stride)
        return x
