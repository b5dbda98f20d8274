"""Vision transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from mmspec.components.attention.dense import Full
from mmspec.components.blocks.pruned import PrunableStack
from mmspec.components.positions.absolute import NoPosition
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value, unreadable
from mmspec.ir.functions import part, rearrange
from mmspec.spec import Encoder


class Vit(PrunableStack, Encoder):
    """Patches of an image, or of another node's map of features, as tokens through transformer blocks.

    The value is all tokens. With a class token there are `image.class` and `image.patches` too, with a distillation token
    `image.distillation`; in front stand the class token, the distillation token, the registers. Registers have no positions.

    With `masked` a random share of the patches is taken away after they have been told where they stand, and the others go on in
    random order, by ascending noise if there is an input of noise (`from: [image, noise]`). Then `image.order` is the number of
    each patch of the grid among the tokens, those behind the last being masked, and `image.masked` says which are.

    Shapes   f32[B, C, H, W] -> f32[B, N, width]; ports f32[B, width], f32[B, patches, width], i64[B, rows, columns],
             bool[B, patches]
    Raises   ShapeError: patches do not tile the image; heads do not divide the width; the input is no image; masking where
             positions or attention need the whole grid
    Source   An Image Is Worth 16x16 Words, arXiv:2010.11929; DeiT, arXiv:2012.12877; registers arXiv:2309.16588; masking
             arXiv:2111.06377
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
    masked: float | None = Field(None, gt=0, lt=1, description="share of the patches that are taken away")

    def emit(self, g: Scope, image: Value, noise: Value | None = None) -> Value | Mapping[str, Value]:
        if len(image.shape) != 4:
            raise unreadable("a vit", "an image or a map", image)
        stride = self.patch_stride or self.patch_size
        rows, columns = (self._tiles(side, stride) for side in image.shape[2:])
        patches = g.convolution("patches", image, self.width, self.patch_size, stride, bias=self.patch_bias)
        x = rearrange(patches, "b c h w -> b (h w) c")
        names = [name for name in ("class", "distillation") if getattr(self, f"{name}_token")]
        layout = Layout((rows, columns), len(names), map=patches)
        for name in reversed(names):
            x = g.prepend(f"{name}_token", 1, x)
        ports: dict[str, Value] = {}
        if self.masked is not None:
            x, ports = self.kept(g, self.position.add(g, x, layout), layout, self.masked, noise)
            placed = self.model_copy(update={"position": NoPosition()})
            tokens = placed.tokens(g, x, Layout(None, len(names)), self.registers)
        elif noise is not None:
            raise ShapeError(f"{noise.name} decides nothing: no patches are masked", "from", hint="masked: 0.75")
        else:
            tokens = self.tokens(g, x, layout, self.registers)
        if not names and not self.registers and not ports:
            return tokens
        for i, name in enumerate(names):
            ports[name] = rearrange(part(tokens, i, i + 1), "b n c -> b (n c)").named(name)
        return {"": tokens, **ports, "patches": part(tokens, len(names) + self.registers).named("patches")}

    def kept(
        self, g: Scope, x: Value, layout: Layout, share: float, noise: Value | None
    ) -> tuple[Value, dict[str, Value]]:
        """The class tokens and those patches that are not masked, and where they have gone."""
        if self.position.inside or type(self.attention) is not Full:
            field = "position" if self.position.inside else "attention"
            message = f"{field}: {getattr(self, field).type} needs the whole grid, and some patches are masked"
            raise ShapeError(message, field, hint="position: learned and attention: full do not")
        assert layout.grid is not None
        rows, columns = layout.grid
        patches = part(x, layout.prefix).named("all_patches") if layout.prefix else x
        if noise is not None and noise.shape[1:] != (rows * columns,):
            message = f"{noise.name} has {noise.shape[1]} numbers for {rows * columns} patches"
            raise ShapeError(message, "from", hint=f"length: {rows * columns}")
        order = g.emit("random_order", patches, *(() if noise is None else (noise,))).named("shuffled")
        count = int(rows * columns * (1 - share))
        if not count:
            raise ShapeError(f"of {rows * columns} patches, none is left", "masked")
        some = g.emit("take", patches, part(order, 0, count).named("least")).named("some")
        gone = g.emit("inverse", order).named("gone")
        front = layout.prefix + self.registers
        numbers = rearrange(gone + front if front else gone, "b (h w) -> b h w", w=columns).named("order")
        numbers.bound = front + rows * columns
        masked = g.emit("at_least", gone, least=count).named("masked")
        left = g.row(part(x, 0, layout.prefix).named("front"), some) if layout.prefix else some
        return left, {"order": numbers, "masked": masked}

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
