"""Early exit by confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mmspec.components.halting.base import ExitPolicy

Probability = Annotated[float, Field(ge=0, le=1)]


class Confidence(ExitPolicy):
    """A sample leaves the stack at the first exit at which its head is sure.

        exit at i  if  max_c softmax(head(x_i))_c > threshold

    At inference a sample that has left is not computed any further, at any batch size. In training all exits are computed and
    the earlier ones are trained with `exit_weight` times the mean of their losses.

    Raises   ShapeError: a stack of one block, whose only exit is its end; exits that do not lie inside the stack
    Source   BranchyNet, arXiv:1709.01686 (by entropy there); Shallow-Deep Networks, arXiv:1810.07052, sec. 4 (by confidence)

        halting: {type: confidence, threshold: 0.9, head: label}
    """

    type: Literal["confidence"] = "confidence"
    threshold: Probability | tuple[Probability, ...] = Field(
        0.9,
        description="the largest probability above which a sample leaves, 1 never; or one for each exit but the last",
    )

    def criterion(self) -> Mapping[str, Any]:
        return {"criterion": "Confidence", "threshold": self.threshold}
