"""Early exit by entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.halting.base import ExitPolicy
from mmspec.ir import ShapeError, Value


class Entropy(ExitPolicy):
    """A sample leaves the stack at the first exit at which the answer of its head has little entropy.

        exit at i  if  -sum_c p_c log p_c < threshold,   p = softmax(head(x_i))

    Raises   ShapeError: a threshold above log C, which every answer over C classes is below; thresholds of other exits
    Source   BranchyNet, arXiv:1709.01686, algorithm 1; DeeBERT, arXiv:2004.12993, sec. 2.2

        halting: {type: entropy, threshold: 0.3, head: label}
    """

    type: Literal["entropy"] = "entropy"
    threshold: NonNegativeFloat | tuple[NonNegativeFloat, ...] = Field(
        0.3, description="nats below which a sample leaves, 0 never; or one for each exit but the last"
    )

    def check_answer(self, answer: Value) -> None:
        super().check_answer(answer)
        most, classes = self.threshold if isinstance(self.threshold, float) else max(self.threshold), answer.width
        if most > math.log(classes):
            message = f"every answer over {classes} classes has an entropy below {most:g}: no sample would pass the first exit"
            hint = f"log {classes} is {math.log(classes):.3g}"
            raise ShapeError(message, "halting.threshold", hint=hint)

    def criterion(self) -> Mapping[str, Any]:
        threshold = self.threshold
        negative = tuple(-each for each in threshold) if isinstance(threshold, tuple) else -threshold
        return {"criterion": "Entropy", "threshold": negative}
