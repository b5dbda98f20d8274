"""What a search found: the trained specs, the front among them, and what is needed to judge them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmspec.study.front import Point, hypervolume, knee, non_dominated
from mmspec.study.trust import interval, standard_error

if TYPE_CHECKING:
    from mmspec.study.inheritance import Parent


@dataclass(frozen=True)
class Objective:
    name: str
    maximize: bool

    def cost(self, value: float) -> float:
        """The value with its sign turned so that less is better."""
        return -value if self.maximize else value


@dataclass(frozen=True)
class Confirmed:
    """What fresh trainings of one spec say (see `mmspec.study.confirming`).

    searched   objectives as the search saw them
    values     objectives of each fresh training;   means: of these
    halves     half widths of the means' 95 % intervals, by learned objective; empty of one training
    chance     how likely it is that nothing dominates it
    tests      accuracies on the test split, which the search never sees
    """

    seeds: int
    searched: Mapping[str, float]
    values: tuple[Mapping[str, float], ...]
    means: Mapping[str, float]
    halves: Mapping[str, float]
    chance: float
    tests: tuple[float, ...] = ()

    @property
    def test(self) -> float | None:
        return sum(self.tests) / len(self.tests) if self.tests else None


@dataclass(frozen=True)
class Trained:
    """One spec that was trained: what it is, what it costs, what it reached."""

    trial: int
    params: Mapping[str, Any]  # dotted path -> value, the domains closed
    digest: str  # of the canonical spec: equal specs have equal digests
    values: Mapping[str, float]  # every objective
    figures: Mapping[str, float]  # every known figure of the price
    metrics: Mapping[str, Any]  # as the training or the hook returned them
    seconds: float
    folder: Path
    confirmed: Confirmed | None = None  # of fresh trainings, whose means `values` then has
    parent: Parent | None = None  # whose weights it began with, where the study inherits

    @property
    def accuracy(self) -> float | None:
        value = (
            self.values["accuracy"] if self.confirmed and "accuracy" in self.values else self.metrics.get("accuracy")
        )
        return float(value) if isinstance(value, int | float) else None

    @property
    def examples(self) -> int | None:
        """How many independent examples the accuracy was measured on (scans, not questions about them)."""
        count = self.metrics.get("examples")
        return count if isinstance(count, int) and count > 0 else None

    @property
    def bounds(self) -> Mapping[str, float]:
        """The best that less than all inputs can reach, by name ("text alone"); empty where it is not known."""
        bounds = self.metrics.get("baselines")
        return {str(k): float(v) for k, v in bounds.items()} if isinstance(bounds, Mapping) else {}

    @property
    def head(self) -> Mapping[str, Any]:
        """What was measured at the (first) head: groups, classes, confusion; empty for a metric of the user's own."""
        heads = self.metrics.get("heads")
        return next(iter(heads.values()), {}) if isinstance(heads, Mapping) else {}

    @property
    def groups(self) -> Mapping[str, float]:
        """Accuracy per question template, where the data has templates."""
        groups = self.head.get("groups")
        return groups if isinstance(groups, Mapping) and len(groups) > 1 else {}

    @property
    def error(self) -> float | None:
        """Standard error of the accuracy: of fresh trainings half of its interval, else what follows from the examples alone."""
        if self.confirmed and "accuracy" in self.confirmed.halves:
            return self.confirmed.halves["accuracy"] / 1.96
        if self.accuracy is None or self.examples is None:
            return None
        return standard_error(self.accuracy, self.examples)

    @property
    def interval(self) -> tuple[float, float] | None:
        if self.confirmed and "accuracy" in self.confirmed.halves:
            mean, half = self.values["accuracy"], self.confirmed.halves["accuracy"]
            return mean - half, mean + half
        if self.accuracy is None or self.examples is None:
            return None
        return interval(self.accuracy, self.examples)


@dataclass(frozen=True)
class RungReport:
    """reached      trainings that came to this step, `stopped` that ended there
    correlation  Kendall's tau-b between what was learned here and at the end, over so many `pairs`; None where that is too few
    trusted      whether it still decides
    """

    step: int
    reached: int
    stopped: int
    correlation: float | None
    pairs: int
    trusted: bool


@dataclass(frozen=True)
class Front:
    """Members in order of cost, cheapest first; `knee` indexes them. Iterating gives the members."""

    name: str
    folder: Path
    objectives: tuple[Objective, ...]
    trained: tuple[Trained, ...]  # all, in the order they were trained
    refused: Mapping[str, int] = field(default_factory=dict)  # reason -> proposals that were not trained
    failed: Mapping[str, int] = field(default_factory=dict)  # reason -> trainings that could not be finished
    repeated: int = 0  # proposals answered from the store
    reference: tuple[float, ...] = ()  # of the hypervolume, in the users' signs
    recipe: Mapping[str, Any] = field(default_factory=dict)  # how all were trained; empty for the user's own code
    files: tuple[Path, ...] = ()
    rungs: tuple[RungReport, ...] = ()  # where trainings were compared before their end

    def costs(self, trained: Trained) -> Point:
        return tuple(o.cost(trained.values[o.name]) for o in self.objectives)

    @cached_property
    def members(self) -> tuple[Trained, ...]:
        """Of those that were trained again, where some were: the others' values are the search's, and not to be compared."""
        able = [t for t in self.trained if t.confirmed] or list(self.trained)
        chosen = [able[i] for i in non_dominated([self.costs(t) for t in able])]
        axis = self.horizontal
        return tuple(sorted(chosen, key=lambda t: (axis.cost(t.values[axis.name]), self.costs(t))))

    @cached_property
    def knee(self) -> int:
        return knee([self.costs(t) for t in self.members])

    @cached_property
    def dominated(self) -> tuple[Trained, ...]:
        on_front = {t.trial for t in self.members}
        return tuple(t for t in self.trained if t.trial not in on_front)

    @property
    def horizontal(self) -> Objective:
        """What a plot shows to the right: the first objective to minimise, else the last one."""
        return next((o for o in self.objectives if not o.maximize), self.objectives[-1])

    @property
    def vertical(self) -> Objective:
        """What a plot shows upwards: the first objective to maximise, else the first one."""
        return next((o for o in self.objectives if o.maximize), self.objectives[0])

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """Domains that take more than one value among what was trained: what a label has to say."""
        paths = dict.fromkeys(path for t in self.trained for path in t.params)
        return tuple(p for p in paths if len({repr(t.params.get(p)) for t in self.trained}) > 1)

    @cached_property
    def inherited(self) -> tuple[Parent, ...]:
        """Of the trainings that began with weights of others, what they had of them."""
        return tuple(t.parent for t in self.trained if t.parent)

    @cached_property
    def hypervolume(self) -> float | None:
        return self.hypervolume_of([t for t in self.trained if t.confirmed] or self.trained)

    def hypervolume_of(self, trained: Sequence[Trained]) -> float | None:
        """Volume that some of the trained dominate up to the reference; None without a reference.

        Each axis is divided by the size of its reference (by 1 where that is 0): with accuracy from 0 and FLOPs up to the
        largest spec of the space it is the mean accuracy that the front offers over all FLOP budgets, between 0 and 1.
        """
        if not self.reference:
            return None
        scales = [abs(r) or 1.0 for r in self.reference]
        corner = [o.cost(r) / s for o, r, s in zip(self.objectives, self.reference, scales, strict=True)]
        points = [[c / s for c, s in zip(self.costs(t), scales, strict=True)] for t in trained]
        return hypervolume(points, corner)

    def __iter__(self) -> Iterator[Trained]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)
