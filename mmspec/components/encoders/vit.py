"""Vision transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from mmspec.components.blocks.transformer import TransformerStack
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part, rearrange
from mmspec.spec import Encoder


class Vit(TransformerStack, Encoder):
    """Patches of an image, or of another node's map of features, as tokens through transformer blocks.

    The value is all tokens. With a class token there are `image.class` and `image.patches` too, with a distillation token
    `image.distillation`; in front stand the class token, the distillation token, the registers. Registers have no positions.

    Shapes   f32[B, C, H, W] -> f32[B, N, width]; ports f32[B, width], f32[B, patches, width]
    Raises   ShapeError: patches do not tile the image; heads do not divide the width; the input is no image
    Source   An Image Is Worth 16x16 Words, arXiv:2010.11929; DeiT, arXiv:2012.12877; registers arXiv:2309.16588
    Differs  no class token unless asked for: heads pool

        image: {type: vit, patch_size: 8, width: 128, depth: 4, heads: 4}
    """

    type: Literal["vit"] = "vit"
    patch_size: PositiveInt = Field(16, description="side of a patch in pixels; it must divide the image's")
    patch_stride: PositiveInt | None = Field(
        None, description="pixels between patches; overlapping where below patch_size"
    )
    patch_bias: bool = Field(True, description="bias of the patch embedding")
    class_token: bool = Field(False, description="a trained token in front, which heads may read as `image.class`")
    distillation_token: bool = Field(False, description="a second one, to be taught by another network")
    registers: NonNegativeInt = Field(0, description="trained tokens that nobody reads: room for what is global")

    def emit(self, g: Scope, image: Value) -> Value | Mapping[str, Value]:
        if len(image.shape) != 4:
            raise ShapeError(f"a vit reads an image, and {image.name} is none", "from")
        stride = self.patch_stride or self.patch_size
        rows, columns = (self._tiles(side, stride) for side in image.shape[2:])
        patches = g.convolution("patches", image, self.width, self.patch_size, stride, bias=self.patch_bias)
        x = rearrange(patches, "b c h w -> b (h w) c")
        names = [name for name in ("class", "distillation") if getattr(self, f"{name}_token")]
        for name in reversed(names):
            x = g.prepend(f"{name}_token", 1, x)
        tokens = self.tokens(g, x, Layout((rows, columns), len(names)), self.registers)
        if not names and not self.registers:
            return tokens
        ports = {name: part(tokens, i, i + 1) for i, name in enumerate(names)}
        first = {name: rearrange(token, "b n c -> b (n c)").named(name) for name, token in ports.items()}
        return {"": tokens, **first, "patches": part(tokens, len(names) + self.registers).named("patches")}

    def _tiles(self, side: object, stride: int) -> int:
        assert isinstance(side, int)
        if stride == self.patch_size and side % self.patch_size:
            sizes = [p for p in range(1, side + 1) if side % p == 0]
            nearest = sorted(sizes, key=lambda p: abs(p - self.patch_size))[:4]
            raise ShapeError(
                f"patches of {self.patch_size} do not tile an image of {side}",
                "patch_size",
                hint=f"an image of {side} is tiled by " + ", ".join(map(str, sorted(nearest))),
            )
        if side < self.patch_size:
            raise ShapeError(f"patches of {self.patch_size} are larger than an image of {side}", "patch_size")
        return (side - self.patch_size) // stride + 1
