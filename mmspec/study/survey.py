"""A study before anything is trained: how large its space is, how much of it may be chosen, what it costs, which limit binds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mmspec.study.base import open_base
from mmspec.study.candidate import COMPILES, LATENCY, Candidate, price
from mmspec.study.evaluation import DONE
from mmspec.study.file import Study
from mmspec.study.latency import Stopwatch, wanted, with_ends
from mmspec.study.learned import BOUNDS
from mmspec.study.plan import Plan, plan
from mmspec.study.trust import interval

PRICED_WHOLE = 2048  # points; a larger space is drawn from
DRAWN = 1000
ALWAYS = ("flops.total", "parameters.total", "memory.weights")


@dataclass(frozen=True)
class Cost:
    """Of the specs that may be chosen. `median` is None where only the ends were measured."""

    smallest: float
    median: float | None
    largest: float


@dataclass(frozen=True)
class Binding:
    """Specs that a limit refuses, and those that it alone refuses."""

    refused: int
    alone: int


@dataclass(frozen=True)
class Survey:
    """size      points of the space, None when it is not finite or beyond a million
    priced       points that were priced: all of them, or drawn (each open place evenly)
    feasible     of these, how many may be chosen;   distinct: different specs among those
    share        feasible / priced, and its 95 % interval where it was drawn
    costs        by figure, in order: objectives, figures with limits, work, parameters, weights
    limits       by limit; a latency is not known of enough specs to be counted
    uncompilable points that make no spec
    first        what is trained first, with its price
    training_s   the median of earlier trainings in the study's folder, None where there are none
    seconds      for the whole search on so many workers, confirmation of the front aside; None where nothing is known
    """

    name: str
    trials: int
    places: int
    size: int | None
    priced: int
    feasible: int
    distinct: int
    share: float
    interval: tuple[float, float] | None
    costs: Mapping[str, Cost]
    limits: Mapping[str, Binding]
    uncompilable: int
    first: tuple[Candidate, ...]
    training_s: float | None
    seconds: float | None
    reference: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "trials": self.trials, "open_places": self.places, "size": self.size, "priced": self.priced,
            "feasible": self.feasible, "distinct": self.distinct, "share": self.share,
            "interval": list(self.interval) if self.interval else None,
            "costs": {
                name: {"smallest": c.smallest, "median": c.median, "largest": c.largest} for name, c in self.costs.items()
            },
            "limits": {name: {"refused": b.refused, "alone": b.alone} for name, b in self.limits.items()},
            "uncompilable": self.uncompilable,
            "first": [
                {"params": dict(c.params), "figures": {k: v for k, v in c.figures.items() if k in self.costs}}
                for c in self.first
            ],
            "training_s": self.training_s, "seconds": self.seconds, "reference": list(self.reference) or None,
        }  # fmt: skip


def survey(study: Study, out: Path | None = None, workers: int = 1) -> Survey:
    """Look before training. Takes a millisecond for each spec that is priced, and seconds for each of the two whose latency is
    measured, if the study speaks of it.

    Raises   SpecError: a mistake in the study or its base, a smallest spec that breaks a limit; located
    """
    planned = plan(study, *open_base(study), price)
    if wanted(study):
        planned = with_ends(planned, Stopwatch())
    candidates, whole = _priced(planned)
    feasible = [c for c in candidates if c.feasible]
    share = len(feasible) / len(candidates)
    took = _earlier(out if out is not None else Path("runs") / study.title)
    return Survey(
        study.title, study.budget.trials, len(planned.space.domains), planned.size, len(candidates), len(feasible),
        len({c.digest for c in feasible}), share, None if whole else interval(share, len(candidates)),
        _costs(planned, feasible), _bindings(planned, candidates), sum(c.constraints[COMPILES] > 0 for c in candidates),
        tuple(map(planned.pricer, planned.first[: study.budget.trials])), took, _whole(study, took, workers), planned.reference,
    )  # fmt: skip


def _priced(planned: Plan) -> tuple[Sequence[Candidate], bool]:
    """Points of the space, and whether they are all."""
    if planned.all:
        return planned.all, True
    if planned.size is not None and planned.size <= PRICED_WHOLE:
        return [planned.pricer(point) for point in planned.space.points()], True
    return [planned.pricer(planned.space.random(seed)) for seed in range(DRAWN)], False


def _costs(planned: Plan, feasible: Sequence[Candidate]) -> dict[str, Cost]:
    """The ends, which were looked for, belong to them even where a drawing has missed them."""
    seen = [*feasible, *planned.ends]
    bounds = [bound for o in planned.study.objectives for bound in BOUNDS.get(o.name, ())]
    asked = [*planned.exact, *bounds, *(limit.figure for limit in planned.pricer.limits)]
    same = ("flops.total",) if "flops.maximum" in asked else ()
    names = dict.fromkeys([*asked, *(name for name in ALWAYS if name not in same)])
    found = {}
    for name in names:
        values = [c.figures[name] for c in seen if name in c.figures]
        middle = [c.figures[name] for c in feasible if name in c.figures]
        if values:
            between = median(middle) if middle and name != LATENCY else None
            found[name] = Cost(min(values), between, max(values))
    return found


def _bindings(planned: Plan, candidates: Sequence[Candidate]) -> dict[str, Binding]:
    names = [str(limit) for limit in planned.pricer.limits if limit.figure != LATENCY]
    broken = [{name for name in names if c.constraints[name] > 0} for c in candidates]
    return {name: Binding(sum(name in b for b in broken), sum(b == {name} for b in broken)) for name in names}


def _earlier(folder: Path) -> float | None:
    """The median seconds of trainings that were finished in a study's folder."""
    found = []
    for file in sorted(folder.glob(f"trials/*/{DONE}")):
        try:
            found.append(float(json.loads(file.read_bytes())["seconds"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return median(found) if found else None


def _whole(study: Study, training_s: float | None, workers: int) -> float | None:
    limit = study.budget.seconds
    needed = None if training_s is None else training_s * study.budget.trials
    known = [seconds for seconds in (needed, limit) if seconds is not None]
    return min(known) / workers if known else None
