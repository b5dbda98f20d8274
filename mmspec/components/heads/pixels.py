"""The pixels of every patch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part, rearrange
from mmspec.spec import Head


class Pixels(Head):
    """Each token's patch of an image, pixel by pixel: y = W x + b, row by row, channels last. Class tokens in front give none.

    `<name>.target` is the image itself in the same form.

    Shapes   f32[B, N, D], image f32[B, C, H, W] -> f32[B, patches, P * P * C], twice
    Raises   ShapeError: `from` is not tokens and an image; there are fewer tokens than patches
    Source   Masked Autoencoders Are Scalable Vision Learners, arXiv:2111.06377, sec. 3

        pixels: {type: pixels, from: [rest, inputs.image], patch_size: 16}
    """

    type: Literal["pixels"] = "pixels"
    patch_size: PositiveInt = Field(16, description="side of a patch in pixels, as in the encoder")

    def emit(self, g: Scope, x: Value, image: Value | None = None) -> Mapping[str, Value]:
        if image is None or len(image.shape) != 4 or len(x.shape) != 3 or x.dtype != "f32":
            message = "pixels are made of tokens, and compared with an image"
            raise ShapeError(message, "from", hint="from: [rest, inputs.image]")
        side = self.patch_size
        channels, height, width = image.shape[1:]
        assert isinstance(channels, int) and isinstance(height, int) and isinstance(width, int)
        if height % side or width % side:
            raise ShapeError(f"patches of {side} do not tile an image of {height} by {width}", "patch_size")
        patches = (height // side) * (width // side)
        if not isinstance(x.tokens, int) or x.tokens < patches:
            raise ShapeError(f"{x.name} has {x.tokens} tokens for {patches} patches", "patch_size")
        pixels = g.linear("output", x, side * side * channels)
        pixels = part(pixels, x.tokens - patches) if x.tokens > patches else pixels
        target = rearrange(image, "b c (h p) (w q) -> b (h w) (p q c)", p=side, q=side)
        return {"": pixels.named("pixels"), "target": target.named("target")}
