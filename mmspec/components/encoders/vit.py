"""Vision transformer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.encoders.base import TransformerEncoder
from mmspec.ir import Scope, ShapeError, Value


class Vit(TransformerEncoder):
    """Patches of an image as tokens, through pre-norm transformer blocks and a last norm.

    Shapes   f32[B, C, S, S] -> f32[B, (S / patch_size)^2, width]
    Raises   ShapeError: patches do not tile the image; heads do not divide the width; the input is no image
    Source   An Image Is Worth 16x16 Words, arXiv:2010.11929
    Differs  no class token: heads pool

        image: {type: vit, patch_size: 8, width: 128, depth: 4, heads: 4}
    """

    type: Literal["vit"] = "vit"
    patch_size: PositiveInt = Field(16, description="side of a patch in pixels; it must divide the image's")

    def emit(self, g: Scope, image: Value) -> Value:
        if len(image.shape) != 4:
            raise ShapeError(f"a vit reads an image, and {image.name} is none", "from")
        rows, columns = (self._tiles(side) for side in image.shape[2:])
        patches = g.convolution("patches", image, self.width, kernel=self.patch_size, stride=self.patch_size)
        return self.through_blocks(g, g.emit("flatten_image", patches), (rows, columns))

    def _tiles(self, side: object) -> int:
        assert isinstance(side, int)
        if side % self.patch_size:
            sizes = [p for p in range(1, side + 1) if side % p == 0]
            nearest = sorted(sizes, key=lambda p: abs(p - self.patch_size))[:4]
            raise ShapeError(
                f"patches of {self.patch_size} do not tile an image of {side}",
                "patch_size",
                hint=f"an image of {side} is tiled by " + ", ".join(map(str, sorted(nearest))),
            )
        return side // self.patch_size
