"""Contrast: which of a batch belong together."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.objectives.base import Seen
from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Objective


class Contrast(Objective):
    """A loss of pairs: of a square of logits, those on the diagonal belong together.

    `target` is for data where one caption may describe several images: what bears one id in that column goes together, too.
    """

    primitive: ClassVar[str]
    target: str | None = Field(
        None,
        description="the column that says which pairs are alike; by default each row goes with its own column alone",
    )
    weight: NonNegativeFloat = Field(1.0, description="weight in the sum of all objectives")

    def emit(self, g: Scope, seen: Seen) -> Value:
        assert self.head is not None
        logits = seen.output(self.head)
        if len(logits.shape) != 2 or logits.shape[0] != logits.shape[1]:
            message = f"{self.head} does not compare a batch with itself"
            raise ShapeError(message, "head", hint="a head of type contrastive does")
        ids: list[Any] = [] if self.target is None else [seen.target(self.target, logits.shape[:1])]
        return g.emit(self.primitive, logits, *ids) * self.weight


class InfoNce(Contrast):
    """Each row must find its column among all, and each column its row.

        L = 1/2 (CE(logits, i) + CE(logits^T, i)),   the mean over the batch

    With a `target` column, the right answers of a row share its probability:  -mean_i mean_{j in P(i)} log softmax_j(logits_i).
    Where samples of one id have equal inputs on one side, equal captions, this is the same loss.

    Shapes   logits f32[B, B], ids i64[B] -> f32[]
    Source   CLIP, arXiv:2103.00020, fig. 3 (InfoNCE: arXiv:1807.03748); with a `target` UniCL, arXiv:2204.03610, eq. 3

        objectives: [{type: info_nce, head: similarity}]
    """

    type: Literal["info_nce"] = "info_nce"
    primitive: ClassVar[str] = "info_nce"


class PairwiseSigmoid(Contrast):
    """Each pair is judged by itself: does it belong together?

        L = -1/B sum_ij log sigmoid(z_ij logits_ij),   z_ij = 1 where it does, else -1

    Shapes   logits f32[B, B], ids i64[B] -> f32[]
    Source   SigLIP, arXiv:2303.15343, eq. 2 and alg. 1

        objectives: [{type: sigmoid, head: similarity}]
    """

    type: Literal["sigmoid"] = "sigmoid"
    primitive: ClassVar[str] = "pairwise_sigmoid"
