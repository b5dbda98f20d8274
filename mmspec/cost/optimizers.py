"""What optimizers remember of each weight, and what a step of theirs holds for a moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

QUANTISED_FROM = 4096  # numbers; smaller weights keep states in single precision
BLOCK = 256  # numbers that share a scale


@dataclass(frozen=True)
class Optimizer:
    """state      bytes that are remembered of a weight: (numbers, bytes of one) -> bytes
    temporaries   bytes of a step: (numbers of each weight, bytes of one) -> bytes"""

    state: Callable[[int, int], int]
    temporaries: Callable[[Sequence[int], int], int]


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


OPTIMIZERS = {
    "adamw": Optimizer(_adam_state, _largest_twice),
    "adamw-foreach": Optimizer(_adam_state, _all_once),
    "adamw-fused": Optimizer(_adam_state, _nothing),
    "adamw-8bit": Optimizer(_eight_bit_state, _nothing),
    "sgd": Optimizer(lambda numbers, width: 0, _largest),
    "sgd-momentum": Optimizer(lambda numbers, width: numbers * width, _largest),
}
