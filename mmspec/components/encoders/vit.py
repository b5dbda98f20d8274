"""Vision transformer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.blocks import pre_norm_block
from mmspec.components.positions import Learned, Position
from mmspec.components.routers.base import TokenRouter
from mmspec.components.routers.dense import Dense
from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Encoder


class Vit(Encoder):
    """Patches of an image as tokens, through pre-norm transformer blocks and a last norm.

    Shapes   f32[B, C, S, S] -> f32[B, (S / patch_size)^2, width]
    Raises   ShapeError: patches do not tile the image; heads do not divide the width; the input is no image
    Source   An Image Is Worth 16x16 Words, arXiv:2010.11929
    Differs  no class token: heads pool

        image: {type: vit, patch_size: 8, width: 128, depth: 4, heads: 4}
    """

    type: Literal["vit"] = "vit"
    patch_size: PositiveInt = Field(16, description="side of a patch in pixels; it must divide the image's")
    width: PositiveInt = Field(192, description="channels of a token")
    depth: PositiveInt = Field(12, description="blocks")
    heads: PositiveInt = Field(3, description="attention heads; they must divide the width")
    expansion: PositiveFloat = Field(4.0, description="hidden channels of the feed-forward, as a multiple of the width")
    position: Position = Field(default_factory=Learned, description="how patches are told where they stand")
    router: TokenRouter = Field(default_factory=Dense, description="experts in the blocks' feed-forward")
    dropout: float = Field(0.0, ge=0, lt=1, description="after the embedding, attention and feed-forward, in training")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the layer norms")

    def emit(self, g: Scope, image: Value) -> Value:
        if len(image.shape) != 4:
            raise ShapeError(f"a vit reads an image, and {image.name} is none", "from")
        rows, columns = (self._tiles(side) for side in image.shape[2:])
        patches = g.convolution("patches", image, self.width, kernel=self.patch_size, stride=self.patch_size)
        x = self.position.add(g, g.emit("flatten_image", patches), (rows, columns)).named("x")
        x = g.stack(
            "blocks", self.depth, self.block, g.dropout("dropout", x, self.dropout).named("x"), class_name="Block"
        )
        return g.norm("norm", x, self.norm_eps)

    def block(self, g: Scope, x: Value) -> Value:
        return pre_norm_block(
            g,
            x,
            heads=self.heads,
            expansion=self.expansion,
            router=self.router,
            dropout=self.dropout,
            eps=self.norm_eps,
        )

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
