"""The mean of several answers."""

from __future__ import annotations

from typing import Literal

from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Head


class MeanOfHeads(Head):
    """The mean of what other heads answer.

    Shapes   f32[B, C], f32[B, C], ... -> f32[B, C]
    Raises   ShapeError: answers of different shapes
    Source   DeiT, arXiv:2012.12877, sec. 4: class and distillation head together
    Differs  the paper adds their softmaxes; published checkpoints are used with the mean of the logits

        label: {type: mean, from: [class, distillation]}
    """

    type: Literal["mean"] = "mean"

    def emit(self, g: Scope, answers: Value, *others: Value) -> Value:
        total = answers
        for other in others:
            if other.shape != answers.shape or other.dtype != answers.dtype:
                raise ShapeError(
                    f"{answers.name} and {other.name} do not answer alike: there is no mean of them", "from"
                )
            total = total + other
        return total * (1 / (1 + len(others))) if others else total
