"""Modules and a component as a plug-in package brings them."""

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmspec.ir import Scope, Value
from mmspec.spec import Encoder


class Mixer(nn.Module):
    """Patches of a picture, mixed by a matrix.   [B, C, H, W] -> [B, H / patch * W / patch, width]"""

    def __init__(self, channels: int, places: int, width: int, patch: int) -> None:
        super().__init__()
        self.inward = nn.Conv2d(channels, width, patch, patch)
        self.mix = nn.Parameter(torch.randn(places, places))

    def forward(self, x: Tensor) -> Tensor:
        y = self.inward(x).flatten(2).transpose(1, 2)
        return torch.einsum("mn,bnd->bmd", self.mix, y)


class Attended(nn.Module):
    """What eager counters make nothing of at inference: torch's own fast path.   [B, C, H, W] -> [B, H / patch * W / patch, width]"""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.inward = nn.Conv2d(channels, width, patch, patch)
        self.layer = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.inward(x).flatten(2).transpose(1, 2))


class Mixed(Encoder):
    """A mixer that declares what it costs, or, of another `kind`, nothing or what is not so."""

    type: Literal["mixed"] = "mixed"
    patch_size: PositiveInt = Field(2, description="rows and columns of a patch")
    width: PositiveInt = Field(16, description="channels of the tokens")
    kind: Literal[
        "declared", "undeclared", "attended", "wrong_shape", "wrong_path", "wrong_class", "wrong_arguments"
    ] = Field("declared", description="which")

    def emit(self, g: Scope, x: Value) -> Value:
        batch, channels, rows, columns = x.shape
        patch, width = self.patch_size, self.width
        places = rows // patch * (columns // patch)
        shape = (batch, places, width)
        if self.kind == "attended":
            arguments = {"channels": channels, "width": width, "patch": patch}
            return g.opaque("body", "foreign_modules:Attended", x, shape=shape, arguments=arguments)
        arguments = {"channels": channels, "places": places, "width": width, "patch": patch}
        if self.kind == "undeclared":
            return g.opaque("body", "foreign_modules:Mixer", x, shape=shape, arguments=arguments)
        if self.kind == "wrong_shape":
            return g.opaque("body", "foreign_modules:Mixer", x, shape=(batch, 2 * places, width), arguments=arguments)
        if self.kind == "wrong_path":
            return g.opaque("body", "foreign_modules.py", x, shape=shape)
        if self.kind == "wrong_class":
            return g.opaque("body", "foreign_modules:Nobody", x, shape=shape)
        if self.kind == "wrong_arguments":
            return g.opaque("body", "foreign_modules:Mixer", x, shape=shape, arguments={"wide": 3})
        flops = 2 * batch * places * width * (channels * patch**2 + places)
        parameters = channels * patch**2 * width + width + places**2
        return g.opaque(
            "body", "foreign_modules:Mixer", x, shape=shape, arguments=arguments, flops=flops, parameters=parameters,
            held=4 * batch * places * width,
        )  # fmt: skip
