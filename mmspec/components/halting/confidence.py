"""Early exit by confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat

from mmspec.spec import Halting

Probability = Annotated[float, Field(ge=0, le=1)]


class Confidence(Halting):
    """A sample leaves the stack after the first block at which its head is sure.

        exit after block i  if  max_c softmax(head(x_i))_c > threshold_i

    At inference a sample that has left is not computed any further, at any batch size. In training all exits are computed and
    the earlier ones are trained with `exit_weight` times the mean of their losses.

    One threshold is that of every exit; a list has one for each block but the last. `mmspec calibrate` writes such a list.

    Raises   ShapeError: a stack of one block, whose only exit is its end; a list that has not one for each block but the last
    Source   BranchyNet, arXiv:1709.01686 (by entropy there); Shallow-Deep Networks, arXiv:1810.07052, sec. 4 (by confidence)

        halting: {type: confidence, threshold: 0.9, head: label}
    """

    type: Literal["confidence"] = "confidence"
    head: str = Field(description="the head that is asked at every exit; it must read this node")
    threshold: Probability | tuple[Probability, ...] = Field(
        0.9, description="the largest probability above which a sample leaves, one or a list by exit; 1 never"
    )
    exit_weight: NonNegativeFloat = Field(1.0, description="weight of the earlier exits' mean loss in training")

    def attributes(self) -> Mapping[str, Any]:
        return {"threshold": self.threshold}
