"""Cross-entropy of a classification."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.objectives.base import Seen
from mmspec.ir import Scope, Value
from mmspec.spec import Objective


class CrossEntropy(Objective):
    """-log p(target), the mean over samples. Where the head is asked at several exits, the mean of the earlier exits' losses is
    added, times the halting policy's `exit_weight`.

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
        exits, exit_weight = seen.exits(self.head)
        loss = g.emit("cross_entropy", logits, target, smoothing=self.label_smoothing)
        if exits is not None and exit_weight:
            earlier = g.emit("earlier_exits", exits)
            loss = loss + g.emit("cross_entropy", earlier, target, smoothing=self.label_smoothing) * exit_weight
        return loss * self.weight

    def of_samples(self, g: Scope, seen: Seen) -> Value:
        """What each sample costs at the last exit, for what is learned by trying.   f32[B]"""
        assert self.head is not None
        logits = seen.output(self.head)
        target = seen.target(self.target, logits.shape[:-1])
        return g.emit("sample_cross_entropy", logits, target, smoothing=self.label_smoothing) * self.weight
