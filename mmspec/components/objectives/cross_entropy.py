"""Cross-entropy of a classification."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.objectives.base import Seen
from mmspec.ir import Scope, Value
from mmspec.spec import Objective


class CrossEntropy(Objective):
    """-log p(target), the mean over samples. Where the head is asked at several exits, the halting policy says what is made of
    their losses: most add the mean of the earlier exits', times `exit_weight`.

    Shapes   logits f32[B, C], target i64[B] -> f32[]

        objectives: [{type: cross_entropy, head: label, target: answer}]
    """

    type: Literal["cross_entropy"] = "cross_entropy"
    target: str = Field(description="the column of the data that holds the label")
    weight: NonNegativeFloat = Field(1.0, description="weight in the sum of all objectives")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="how much of the target is spread over all classes")

    def emit(self, g: Scope, seen: Seen) -> Value:
        assert self.head is not None
        logits = seen.output(self.head)
        target = seen.target(self.target, logits.shape[:-1])
        loss = g.emit("cross_entropy", logits, target, smoothing=self.label_smoothing)
        exits = seen.exits(self.head)
        if exits is not None:

            def each(answers: Value) -> Value:
                return g.emit("cross_entropies", answers, target, smoothing=self.label_smoothing)

            loss = exits.loss(g, loss, each)
        return loss * self.weight

    def of_samples(self, g: Scope, seen: Seen) -> Value:
        """What each sample costs at the last exit, for what is learned by trying.   f32[B]"""
        assert self.head is not None
        logits = seen.output(self.head)
        target = seen.target(self.target, logits.shape[:-1])
        return g.emit("sample_cross_entropy", logits, target, smoothing=self.label_smoothing) * self.weight
