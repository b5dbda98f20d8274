"""What an objective may look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mmspec.components.halting.base import Each, ExitPolicy
from mmspec.ir import Scope, Value
from mmspec.ir.dims import Shape


@dataclass(frozen=True)
class Exits:
    """Answers at all exits [E, B, ...]; of a policy with a halting unit the probability of each exit f32[E, B]; the policy."""

    answers: Value
    chances: Value | None
    policy: ExitPolicy

    def loss(self, g: Scope, last: Value, each: Each) -> Value:
        """The loss at the end f32[], with what the policy makes of the exits; `each` gives their losses f32[E, B]."""
        return self.policy.loss(g, last, self.answers, self.chances, each)


class Seen(Protocol):
    """The model in training and the data, as the scope of the losses sees them."""

    def output(self, name: str) -> Value:
        """What a head answers; or one of the values that the objective's `reads` names, under the name of its field."""
        ...

    def target(self, column: str, shape: Shape, dtype: str = "i64") -> Value:
        """A column of the data."""
        ...

    def exits(self, head: str) -> Exits | None:
        """What a head says at the exits of a stack that may halt; None where it is asked once."""
        ...

    def progress(self) -> Value:
        """How much of the training is done, f32[] from 0 to 1."""
        ...
