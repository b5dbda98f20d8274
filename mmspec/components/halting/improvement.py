"""Early exit when blocks change little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.halting.base import ExitPolicy


class Improvement(ExitPolicy):
    """A sample leaves the stack at the first exit at which its tokens have hardly changed since the one before.

        exit at i  if  |x_i - x_{i-1}| / |x_{i-1}| < threshold

    x_0 is what enters the stack; norms run over the tokens that are present. It needs no head; with one, the earlier exits are
    trained.

    Source   the saturation of hidden states, CALM, arXiv:2207.07061, sec. 3.3
    Differs  CALM compares by cosine, at single tokens of a decoder

        halting: {type: improvement, threshold: 0.05}
    """

    type: Literal["improvement"] = "improvement"
    looks: ClassVar[bool] = True
    needs_head: ClassVar[bool] = False
    judges_answers: ClassVar[bool] = False
    threshold: NonNegativeFloat | tuple[NonNegativeFloat, ...] = Field(
        0.05, description="relative change below which a sample leaves, 0 never; or one for each exit but the last"
    )

    def criterion(self) -> Mapping[str, Any]:
        threshold = self.threshold
        negative = tuple(-each for each in threshold) if isinstance(threshold, tuple) else -threshold
        return {"criterion": "Improvement", "threshold": negative}
