"""Error of the pixels that were masked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.objectives.base import Seen
from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Objective


class MaskedPatches(Objective):
    """Mean squared error of what a `pixels` head says, over the patches that the model has not seen.

        L = mean over masked i of mean (y_i - t_i)^2,   t_i the pixels, or (t_i - mean t_i) / sqrt(var t_i + 1e-6)

    Shapes   f32[B, patches, P], f32[B, patches, P], bool[B, patches] -> f32[]
    Raises   ShapeError: the head gives no pixels, or there is not one mask for each patch
    Source   Masked Autoencoders Are Scalable Vision Learners, arXiv:2111.06377, sec. 3

        objectives: [{type: masked_patches, head: pixels, masked: image.masked}]
    """

    type: Literal["masked_patches"] = "masked_patches"
    masked: str = Field("image.masked", description="which patches the model has not seen")
    norm_pix_loss: bool = Field(False, description="compare with pixels that are normalised in each patch (unbiased)")
    weight: NonNegativeFloat = Field(1.0, description="weight in the sum of all objectives")

    def reads(self) -> dict[str, str]:
        return {"masked": self.masked, "head": f"{self.head}.target"}

    def emit(self, g: Scope, seen: Seen) -> Value:
        assert self.head is not None
        pixels, target, masked = seen.output(self.head), seen.output("head"), seen.output("masked")
        if masked.dtype != "bool" or masked.shape != pixels.shape[:-1]:
            raise ShapeError(f"{self.masked} does not say which patches were masked", "masked", hint="image.masked")
        loss = g.emit("masked_error", pixels, target, masked, normalise=self.norm_pix_loss)
        return loss * self.weight
