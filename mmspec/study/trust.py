r"""How far the accuracies of a short search can be trusted.

An accuracy p measured on n examples that were not trained on has the binomial standard error

    s = sqrt(p (1 - p) / n)

It covers the choice of those n examples, not the luck of one training: another seed moves p as well, so the true spread is
larger. Two networks measured on the *same* examples differ by less than independent ones would (their errors are shared),
which makes the test below a cautious one: z = |p - q| / sqrt(s_p^2 + s_q^2), within noise when z < 1.96.

Winner's curse: the front keeps whoever was lucky. The best of k candidates that are truly equal is expected to look
better than it is by s * E[max of k standard normals], about s * sqrt(2 ln k).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

Z = 1.959963984540054  # two-sided 95 %


def standard_error(accuracy: float, examples: int) -> float:
    """Binomial standard error. With p at 0 or 1 the formula says 0; half an example is moved so that it never does.

    Raises   ValueError: no examples, or an accuracy outside [0, 1]
    """
    if examples < 1 or not 0.0 <= accuracy <= 1.0:
        raise ValueError(f"accuracy {accuracy} on {examples} examples has no standard error")
    p = min(max(accuracy, 0.5 / examples), 1 - 0.5 / examples)
    return math.sqrt(p * (1 - p) / examples)


def interval(accuracy: float, examples: int) -> tuple[float, float]:
    """95 % interval of Wilson (1927), which stays inside [0, 1] and is right near its ends too."""
    n, z2 = examples, Z * Z
    centre = (accuracy + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(accuracy * (1 - accuracy) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def within_noise(p: float, q: float, examples: int) -> bool:
    """True when the difference of two accuracies on the same number of examples is below 1.96 standard errors."""
    return abs(p - q) < Z * math.hypot(standard_error(p, examples), standard_error(q, examples))


def noisy_neighbours(accuracies: Sequence[float], examples: int) -> list[tuple[int, int]]:
    """Pairs (i, i + 1), in the order given, that this measurement cannot tell apart."""
    pairs = enumerate(pairwise(accuracies))
    return [(i, i + 1) for i, (p, q) in pairs if within_noise(p, q, examples)]


def optimism(accuracy: float, examples: int, candidates: int) -> float:
    """What the best of `candidates` equally good ones is expected to be overrated by (0 for a single one).

    E[max of k standard normals] = integral of 1 - F(x)^k over x > 0, less that of F(x)^k over x < 0.
    """
    if candidates < 2:
        return 0.0
    step = 0.005
    grid = [step * (i + 0.5) for i in range(round(8 / step))]
    normal = [0.5 * math.erfc(-x / math.sqrt(2)) for x in grid]
    expected = step * math.fsum((1 - f**candidates) - (1 - f) ** candidates for f in normal)
    return standard_error(accuracy, examples) * expected
