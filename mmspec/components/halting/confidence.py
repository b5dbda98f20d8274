"""Early exit by confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat

from mmspec.spec import Halting


class Confidence(Halting):
    """A sample leaves the stack after the first block at which its head is sure.

        exit after block i  if  max_c softmax(head(x_i))_c > threshold

    At inference a sample that has left is not computed any further, at any batch size. In training all exits are computed and
    the earlier ones are trained with `exit_weight` times the mean of their losses.

    Raises   ShapeError: a stack of one block, whose only exit is its end
    Source   BranchyNet, arXiv:1709.01686 (by entropy there); Shallow-Deep Networks, arXiv:1810.07052, sec. 4 (by confidence)

        halting: {type: confidence, threshold: 0.9, head: label}
    """

    type: Literal["confidence"] = "confidence"
    head: str = Field(description="the head that is asked at every exit; it must read this node")
    threshold: float = Field(
        0.9, ge=0, le=1, description="the largest probability above which a sample leaves; 1 never"
    )
    exit_weight: NonNegativeFloat = Field(1.0, description="weight of the earlier exits' mean loss in training")

    def attributes(self) -> Mapping[str, Any]:
        return {"threshold": self.threshold}
