"""The Pareto front of measured points: who is on it, its knee, and how much it dominates.

Points are tuples of objective values in which *less is better*; an objective to maximise is negated before it comes here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = Sequence[float]


def dominates(a: Point, b: Point) -> bool:
    """True when `a` is nowhere worse than `b` and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def non_dominated(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other point dominates, in order of their values; of equal points the first.

    In lexicographic order a point can only be dominated by one before it, so each is compared with the front so far:
    O(n f) for a front of f points.
    """
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (tuple(points[i]), i)):
        if not any(all(x <= y for x, y in zip(points[j], points[i], strict=True)) for j in front):
            front.append(i)
    return front


def knee(points: Sequence[Point]) -> int:
    """Index of the front's knee: the point that lies furthest below the straight line between the front's two ends.

    Every axis is scaled to [0, 1] over the given points, which are a front; for d objectives the line becomes the
    hyperplane sum(x) = 1, and "below" is measured along its normal: the knee has the least sum of scaled values. Between
    the two ends of a two-dimensional front this is the greatest distance to the chord (Das 1999, "On characterizing the
    knee of the Pareto curve"; the same rule as in Kneedle, Satopaa et al. 2011). Ties go to the first in order of value.

    Raises   ValueError: no points
    """
    if not points:
        raise ValueError("an empty front has no knee")
    axes = list(zip(*points, strict=True))
    scaled = [_unit(axis) for axis in axes]
    sums = [math.fsum(values) for values in zip(*scaled, strict=True)]
    return min(range(len(points)), key=lambda i: (round(sums[i], 12), tuple(points[i])))


def _unit(axis: Sequence[float]) -> list[float]:
    low, high = min(axis), max(axis)
    return [(x - low) / (high - low) if high > low else 0.0 for x in axis]


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Volume that the points dominate, up to `reference`; points that are not better than it everywhere add nothing.

    Computed by slicing along the last axis (HSO, While et al. 2006): exact for any number of objectives, and quick for
    the two or three and the tens of points that a study has.
    """
    inside = [tuple(p) for p in points if all(x < r for x, r in zip(p, reference, strict=True))]
    return _slices(inside, tuple(reference))


def _slices(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    if not points:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(p[0] for p in points)
    levels = sorted({p[-1] for p in points})
    volume = 0.0
    for low, high in zip(levels, [*levels[1:], reference[-1]], strict=True):
        below = [p[:-1] for p in points if p[-1] <= low]
        volume += (high - low) * _slices(below, reference[:-1])
    return volume
