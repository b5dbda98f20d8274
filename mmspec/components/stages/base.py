"""The two roles inside a pyramid: a stage, and what leads from a map to the smaller one that the stage works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, PositiveInt

from mmspec.components.blocks.transformer import in_proportion
from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Component


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"a kernel of {kernel} has no middle")
    return kernel


Odd = Annotated[PositiveInt, AfterValidator(_odd)]  # the side of a kernel that keeps the size of a map


class Downsample(Component):
    """From an image or a map to a smaller map."""

    role: ClassVar[str] = "downsample"

    def lead(self, g: Scope, name: str, x: Value, width: int) -> Value:
        """A map of `width` channels; what is made for it is the module `name`, which the slot is called as well.
        [B, C, H, W] -> [B, width, H', W']"""
        try:
            return self.emit(g, name, x, width)
        except ShapeError as error:
            raise ShapeError(str(error), f"{name}.{error.field}".rstrip("."), error.hint) from error

    def emit(self, g: Scope, name: str, x: Value, width: int) -> Value:
        raise NotImplementedError


class NoDownsample(Downsample):
    """The map as it is."""

    type: Literal["none"] = "none"

    def emit(self, g: Scope, name: str, x: Value, width: int) -> Value:
        return x


class Stage(Component):
    """Blocks on a map. All that a stage needs to be told is what it is handed; a pyramid puts stages in a row."""

    role: ClassVar[str] = "stage"
    width: PositiveInt = Field(96, description="channels of the map")
    depth: PositiveInt = Field(2, description="blocks")
    downsample: Downsample = Field(
        default_factory=NoDownsample, description="what makes the map smaller, before the first block"
    )

    @property
    def skipped(self) -> tuple[float, ...]:
        """How often each block is skipped, where the stage says so itself."""
        rate = getattr(self, "drop_path", 0.0)
        return in_proportion(rate, self.depth) if rate else ()

    def emit(self, g: Scope, x: Value, skipped: Sequence[float]) -> Value | Mapping[str, Value]:
        """The map after the last block, block i skipped in training with probability `skipped[i]`; tokens that have no place on the
        map are returned beside it.   [B, C, H, W] -> [B, width, H', W']"""
        raise NotImplementedError

    def smaller(self, g: Scope, x: Value) -> Value:
        """The map that blocks which keep its channels begin with.   Raises ShapeError: it has other channels"""
        x = self.downsample.lead(g, "downsample", x, self.width)
        if x.shape[1] != self.width:
            hint = "downsample: {type: patches, size: 2} or merge leads to other channels"
            message = f"a {self.type} stage of {self.width} channels is handed {x.shape[1]}"  # type: ignore[attr-defined]
            raise ShapeError(message, "width", hint=hint)
        return x


class SkippableStage(Stage):
    """Blocks beside which a map goes unchanged, so that they can be skipped."""

    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="stochastic depth of this stage alone: how often its last block is skipped, the earlier ones in proportion",
    )


def sides(x: Value) -> tuple[int, int]:
    """Rows and columns of a map.   [B, C, H, W]"""
    rows, columns = x.shape[2:]
    assert isinstance(rows, int) and isinstance(columns, int), "the sizes of a map are fixed"
    return rows, columns
