r"""Successive halving for several objectives: a training stops at a rung, and goes on only if it is among the best that came there.

At a rung (so many steps of the whole training, whose learning-rate schedule it has) a spec's point is (what is learned so far, what
is exact). Of all that have come there so far, it goes on

    if nothing dominates it,
    or if it has the greatest cost on some exact axis,
    or if it stands among the first  keep * n  of the n of like cost, itself among them (the nearest third along the first exact
       axis), in order of non-dominated rank (Deb et al. 2002, NSGA-II), within a rank by crowding distance.

It is compared with those of like cost because networks of other sizes learn at another speed: on the way to the end, the small are
before the large that will overtake them, and among all of them every large one would be stopped.

Nobody waits for others (the stopping form of ASHA, Li et al. 2020, arXiv:1810.05934): a spec that was stopped is not gone on with
later. Whether a rung predicts is measured by those that went on to the end: Kendall's tau-b of what was learned at the rung and at
the end. With PAIRS of them or more, a rung whose tau is below `trust` is left out from then on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmspec.study.file import Rungs
from mmspec.study.front import Point, dominates
from mmspec.study.result import Objective, RungReport

NEAR = 4  # of like cost, at least
PAIRS = 8  # finished trainings before a rung is judged


@dataclass(frozen=True)
class Reached:
    """A training at a rung: its objectives there, and the seconds since the rung before."""

    step: int
    values: Mapping[str, float]
    seconds: float


@dataclass
class Ladder:
    """The rungs of a study and what has come to each. It is a function of what the store holds.

    exact   names of the objectives that are known before training
    """

    rungs: Rungs
    objectives: Sequence[Objective]
    exact: Sequence[str]
    reached: dict[int, dict[int, Mapping[str, float]]] = field(default_factory=dict)  # step -> training -> objectives
    finished: dict[int, Mapping[str, float]] = field(default_factory=dict)
    stopped: dict[int, int] = field(default_factory=dict)  # training -> the step of its last rung

    def note(self, number: int, at: Sequence[Reached]) -> None:
        for each in at:
            self.reached.setdefault(each.step, {})[number] = each.values

    def after(self, step: int) -> int | None:
        """The next rung that is trusted; None where what follows is the end."""
        return next((rung for rung in self.rungs.steps if rung > step and self.trusted(rung)), None)

    def goes_on(self, number: int, step: int) -> bool:
        """Whether a training that is noted at a rung belongs to those that go on."""
        there = self.reached[step]
        points = {n: tuple(o.cost(there[n][o.name]) for o in self.objectives) for n in sorted(there)}
        own = points[number]
        if not any(dominates(other, own) for other in points.values()):
            return True
        axes = [i for i, o in enumerate(self.objectives) if o.name in self.exact]
        if any(all(other[i] <= own[i] for other in points.values()) for i in axes):
            return True
        near = self._near(number, points, axes)
        return ordered([points[n] for n in near]).index(near.index(number)) < self.rungs.keep * len(near)

    def _near(self, number: int, points: Mapping[int, Point], axes: Sequence[int]) -> list[int]:
        """Itself and those of like cost, a third of all but not fewer than NEAR; all where nothing is exact."""
        if not axes:
            return list(points)
        along = sorted(points, key=lambda n: points[n][axes[0]])
        size = min(len(along), max(NEAR, -(-len(along) // 3)))
        first = min(max(0, along.index(number) - size // 2), len(along) - size)
        return sorted(along[first : first + size])

    def correlation(self, step: int) -> tuple[float | None, int]:
        """Kendall's tau-b between the rung and the end, of the learned objective that it predicts worst; from how many pairs."""
        there = self.reached.get(step, {})
        both = [number for number in self.finished if number in there]
        learned = [o.name for o in self.objectives if o.name not in self.exact]
        if len(both) < 2:
            return None, len(both)
        found = [kendall([there[n][name] for n in both], [self.finished[n][name] for n in both]) for name in learned]
        known = [tau for tau in found if tau is not None]
        return (min(known) if known else None), len(both)

    def trusted(self, step: int) -> bool:
        tau, pairs = self.correlation(step)
        return pairs < PAIRS or (tau is not None and tau >= self.rungs.trust)

    def reports(self) -> tuple[RungReport, ...]:
        found = []
        for step in self.rungs.steps:
            tau, pairs = self.correlation(step)
            stopped = sum(last == step for last in self.stopped.values())
            found.append(RungReport(step, len(self.reached.get(step, {})), stopped, tau, pairs, self.trusted(step)))
        return tuple(found)


def ranks(points: Sequence[Point]) -> list[int]:
    """Non-dominated rank of each: 0 for the front, 1 for the front of the rest, and so on."""
    found = [0] * len(points)
    left, rank = list(range(len(points))), 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in front:
            found[i] = rank
        left = [i for i in left if i not in front]
        rank += 1
    return found


def ordered(points: Sequence[Point]) -> list[int]:
    """Indices, best first: by rank, within one by crowding distance; equals in the order in which they came."""
    rank = ranks(points)
    crowd = [0.0] * len(points)
    for each in set(rank):
        members = [i for i in range(len(points)) if rank[i] == each]
        for i, distance in zip(members, crowding([points[i] for i in members]), strict=True):
            crowd[i] = distance
    return sorted(range(len(points)), key=lambda i: (rank[i], -crowd[i], i))


def crowding(points: Sequence[Point]) -> list[float]:
    """How far apart the neighbours of each are, summed over the axes, each axis from 0 to 1; infinite at the ends of an axis."""
    found = [0.0] * len(points)
    for axis in range(len(points[0])):
        order = sorted(range(len(points)), key=lambda i: points[i][axis])
        width = points[order[-1]][axis] - points[order[0]][axis]
        found[order[0]] = found[order[-1]] = math.inf
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            found[here] += (points[after][axis] - points[before][axis]) / width if width else 0.0
    return found


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Tau-b, which allows for ties; None where one of them is all ties."""
    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    from scipy.stats import kendalltau

    return float(kendalltau(one, other).statistic)
