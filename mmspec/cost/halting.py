"""Where samples are in a stack that they may leave early, from r_i, the share that leaves at exit i.

    reach_s = sum_{i >= s} r_i                           of a sample: stage s is computed
    E[F] = sum_s reach_s F_s                             its cost, F_s that of stage s and its head
    P(n samples: stage s is computed) = 1 - (1 - reach_s)^n      of a batch that runs to its last sample

A batch that is compacted (a sample that has left is dropped, as our runtime does) costs n E[F]. One that is not costs
n sum_s (1 - (1 - reach_s)^n) F_s. Samples of a batch are taken to be independent. Expectations of several stacks add up, whether
or not the samples that leave one early leave another early.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate


def reach(shares: Sequence[float]) -> list[float]:
    """Of each stage, the probability that a sample comes to it."""
    return [max(0.0, 1.0 - left) for left in accumulate(shares[:-1], initial=0.0)]


def last_of(shares: Sequence[float], samples: int) -> list[float]:
    """Of each exit, the probability that the last of so many samples leaves there."""
    left = [min(1.0, share) ** samples for share in accumulate(shares)]
    left[-1] = 1.0
    return [after - before for before, after in zip([0.0, *left], left, strict=False)]
