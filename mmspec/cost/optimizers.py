"""What optimizers remember of each weight, what a step of theirs holds for a moment, and what it computes and moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmspec.cost.work import Work

QUANTISED_FROM = 4096  # numbers; smaller weights keep states in single precision
BLOCK = 256  # numbers that share a scale


@dataclass(frozen=True)
class Optimizer:
    """state      bytes that are remembered of a weight: (numbers, bytes of one) -> bytes
    temporaries   bytes of a step: (numbers of each weight, bytes of one) -> bytes
    operations    elementary ones on each number, by its formula"""

    state: Callable[[int, int], int]
    temporaries: Callable[[Sequence[int], int], int]
    operations: int

    def update(self, numbers: Sequence[int], width: int) -> Work:
        """What a step does, `width` bytes a number: weight, gradient and state are read once, weight and state written, as a fused
        one does it; one that goes through its formula term by term moves more."""
        kept, held = sum(self.state(number, width) for number in numbers), width * sum(numbers)
        return Work(pointwise=self.operations * sum(numbers), read=2 * held + kept, written=held + kept)


def _adam_state(numbers: int, width: int) -> int:
    return 2 * numbers * width + 4  # mean, mean square, and the number of steps


def _eight_bit_state(numbers: int, width: int) -> int:
    """A byte for each number and a float for each block of 256, twice (arXiv:2110.02861); small weights as usual."""
    return 2 * (numbers + 4 * math.ceil(numbers / BLOCK)) if numbers >= QUANTISED_FROM else 2 * numbers * 4


def _nothing(numbers: Sequence[int], width: int) -> int:
    return 0


def _largest_twice(numbers: Sequence[int], width: int) -> int:
    """Weight by weight: the root of the mean square, and that over its correction."""
    return 2 * max(numbers, default=0) * width


def _all_once(numbers: Sequence[int], width: int) -> int:
    """All weights at once: the roots of the mean squares."""
    return sum(numbers) * width


def _largest(numbers: Sequence[int], width: int) -> int:
    """The gradient and what decays of its weight."""
    return max(numbers, default=0) * width


# AdamW (arXiv:1711.05101, algorithm 2): decay 1; mean 3; mean square 4; root, correction, epsilon 3; quotient, step, difference 3.
# SGD: decay 2, step 2; momentum 2 more. Eight bits: each of two states is scaled, and scaled back.
OPTIMIZERS = {
    "adamw": Optimizer(_adam_state, _largest_twice, 14),
    "adamw-foreach": Optimizer(_adam_state, _all_once, 14),
    "adamw-fused": Optimizer(_adam_state, _nothing, 14),
    "adamw-8bit": Optimizer(_eight_bit_state, _nothing, 18),
    "sgd": Optimizer(lambda numbers, width: 0, _largest, 4),
    "sgd-momentum": Optimizer(lambda numbers, width: numbers * width, _largest, 6),
}
