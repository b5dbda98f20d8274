"""What an objective may look at."""

from __future__ import annotations

from typing import Protocol

from mmspec.ir import Value
from mmspec.ir.dims import Shape


class Seen(Protocol):
    """The model in training and the data, as the scope of the losses sees them."""

    def output(self, name: str) -> Value:
        """What a head answers; or one of the values that the objective's `reads` names, under the name of its field."""
        ...

    def target(self, column: str, shape: Shape, dtype: str = "i64") -> Value:
        """A column of the data."""
        ...

    def exits(self, head: str) -> tuple[Value | None, float]:
        """What a head says at each exit of a stack that may halt, [E, ...], and the weight of the earlier ones' losses."""
        ...

    def progress(self) -> Value:
        """How much of the training is done, f32[] from 0 to 1."""
        ...
