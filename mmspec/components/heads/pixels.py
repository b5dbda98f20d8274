"""The pixels of every patch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part, rearrange
from mmspec.spec import Head


class Pixels(Head):
    """Each token's patch of an image, pixel by pixel: y = W x + b, row by row, channels last. Class tokens in front give none.

    `<name>.target` is the image itself in the same form. The patches are those of the order that a masked encoder gives.

    Shapes   f32[B, N, D], image f32[B, C, H, W], order i64[B, rows, columns] -> f32[B, rows * columns, P * Q * C], twice
    Raises   ShapeError: `from` is not tokens, an image and an order; there are fewer tokens than patches
    Source   Masked Autoencoders Are Scalable Vision Learners, arXiv:2111.06377, sec. 3

        pixels: {type: pixels, from: [rest, inputs.image, image.order]}
    """

    type: Literal["pixels"] = "pixels"

    def emit(self, g: Scope, x: Value, image: Value | None = None, order: Value | None = None) -> Mapping[str, Value]:
        read = (len(x.shape), len(image.shape) if image else 0, len(order.shape) if order else 0)
        if image is None or order is None or read != (3, 4, 3) or order.dtype != "i64" or x.dtype != "f32":
            message = "pixels are made of tokens, and compared with the patches of an image"
            raise ShapeError(message, "from", hint="from: [rest, inputs.image, image.order]")
        channels, height, width, rows, columns = (*image.shape[1:], *order.shape[1:])
        assert isinstance(channels, int) and isinstance(height, int) and isinstance(width, int)
        assert isinstance(rows, int) and isinstance(columns, int)
        if height % rows or width % columns or not isinstance(x.tokens, int) or x.tokens < rows * columns:
            found = f"{x.name} has {x.tokens} tokens, {image.name} {height} by {width} pixels"
            raise ShapeError(f"{found}, and {order.name} {rows} by {columns} patches", "from")
        sides = {"p": height // rows, "q": width // columns}
        pixels = g.linear("output", x, sides["p"] * sides["q"] * channels)
        pixels = part(pixels, x.tokens - rows * columns) if x.tokens > rows * columns else pixels
        target = rearrange(image, "b c (h p) (w q) -> b (h w) (p q c)", **sides)
        return {"": pixels.named("pixels"), "target": target.named("target")}
