"""The samplers that are compared, and one loop for all: nothing infeasible and nothing twice is trained."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from mmspec.study import KnownCostSampler
from mmspec.study.front import hypervolume
from searching.problems import Problem

optuna.logging.set_verbosity(logging.ERROR)
warnings.simplefilter("ignore")
PATIENCE = 30  # proposals in a row that train nothing, before a point is drawn
BINS = 8


@dataclass
class Run:
    """What an arm trained, in order."""

    accuracies: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    volumes: list[float] = field(default_factory=list)  # after each training
    seconds: list[float] = field(default_factory=list)  # to propose each
    keys: list[str] = field(default_factory=list)

    def reached(self, volume: float) -> int | None:
        """Trainings until a hypervolume was there; None if it never was."""
        return next((i + 1 for i, v in enumerate(self.volumes) if v >= volume), None)


Propose = Callable[[], dict[str, Any]]
Done = Callable[[Run], bool]


def run(problem: Problem, arm: str, seed: int, trainings: int, done: Done = lambda _: False) -> Run:
    found = Run()
    driver = ARMS[arm](problem, seed, trainings)
    idle, generator = 0, np.random.default_rng([seed, 21])
    while len(found.keys) < trainings and not done(found):
        began = time.perf_counter()
        params = driver.ask(_fresh(problem, found, generator) if idle >= PATIENCE else None)
        took = time.perf_counter() - began
        cost, key = problem.cost(params), problem.key(params)
        if cost > problem.limit:
            driver.refuse((cost - problem.limit) / problem.limit, len(found.keys))
            idle += 1
            continue
        accuracy = problem.accuracy(params)
        driver.tell(params, accuracy, cost)
        if key in found.keys:
            idle += 1
            if idle > 10 * PATIENCE:
                return found  # a table that is trained whole
            continue
        idle = 0
        found.keys.append(key)
        found.accuracies.append(accuracy)
        found.costs.append(cost)
        found.seconds.append(took)
        points = list(zip((-a for a in found.accuracies), found.costs, strict=True))
        found.volumes.append(hypervolume(points, (-problem.reference[0], problem.reference[1])))
    return found


def _fresh(problem: Problem, found: Run, generator: np.random.Generator) -> dict[str, Any]:
    for _ in range(5000):
        point = problem.structure.draw(generator)
        if problem.cost(point) <= problem.limit and problem.key(point) not in found.keys:
            return point
    return point


def suggest(trial: optuna.Trial, problem: Problem) -> dict[str, Any]:
    point: dict[str, Any] = {}
    for p in problem.structure.parameters:
        if not p.active(point):
            continue
        d = p.distribution
        if isinstance(d, CategoricalDistribution):
            point[p.name] = trial.suggest_categorical(p.name, d.choices)
        elif isinstance(d, IntDistribution):
            point[p.name] = trial.suggest_int(p.name, d.low, d.high, step=d.step, log=d.log)
        else:
            assert isinstance(d, FloatDistribution)
            point[p.name] = trial.suggest_float(p.name, d.low, d.high, log=d.log)
    return point


class OptunaArm:
    """An Optuna sampler with both objectives; refusals are taught as constraints, up to twice what was trained."""

    def __init__(self, problem: Problem, sampler: optuna.samplers.BaseSampler) -> None:
        self.problem, self.refused = problem, 0
        self.study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    def ask(self, point: dict[str, Any] | None) -> dict[str, Any]:
        if point is not None:
            self.study.enqueue_trial(point)
        self.trial = self.study.ask()
        return suggest(self.trial, self.problem)

    def refuse(self, violation: float, trained: int) -> None:
        self.trial.set_constraint("limit", violation)
        teach = self.refused < max(4, 2 * trained)
        self.refused += teach
        self.study.tell(self.trial, state=TrialState.PRUNED if teach else TrialState.FAIL)

    def tell(self, params: dict[str, Any], accuracy: float, cost: float) -> None:
        self.trial.set_constraint("limit", 0.0)
        self.study.tell(self.trial, [accuracy, cost])


class Stratified:
    """Random specs, strata of the cost in turn, an eighth of all in each: a baseline that is given the costs."""

    def __init__(self, problem: Problem, seed: int, _: int) -> None:
        self.problem, self.turn, self.seen = problem, 0, set[str]()
        self.generator = np.random.default_rng([seed, 22])
        draws = [problem.structure.draw(self.generator) for _ in range(2000)]
        self.points = [p for p in draws if problem.cost(p) <= problem.limit]
        costs = np.log([problem.cost(p) for p in self.points])
        self.edges = np.quantile(costs, np.linspace(0, 1, BINS + 1))  # strata of equal numbers
        self.bins = np.clip(np.searchsorted(self.edges, costs, side="right") - 1, 0, BINS - 1)

    def bin_of(self, cost: float) -> int:
        return int(np.clip(np.searchsorted(self.edges, np.log(cost), side="right") - 1, 0, BINS - 1))

    def ask(self, point: dict[str, Any] | None) -> dict[str, Any]:
        if point is not None:
            return point
        for _ in range(BINS):
            wanted, self.turn = self.turn % BINS, self.turn + 1
            if (drawn := self.draw(wanted)) is not None:
                return drawn
        return self.problem.structure.draw(self.generator)

    def draw(self, wanted: int) -> dict[str, Any] | None:
        inside = [
            p
            for p, b in zip(self.points, self.bins, strict=True)
            if b == wanted and self.problem.key(p) not in self.seen
        ]
        return inside[int(self.generator.integers(len(inside)))] if inside else None

    def refuse(self, violation: float, trained: int) -> None:
        pass

    def tell(self, params: dict[str, Any], accuracy: float, cost: float) -> None:
        self.seen.add(self.problem.key(params))


class BinnedTPE(Stratified):
    """A TPE of the accuracy for each stratum of the cost, in turn; what lies outside a stratum breaks its constraint."""

    def __init__(self, problem: Problem, seed: int, trainings: int) -> None:
        super().__init__(problem, seed, trainings)
        self.studies = [
            optuna.create_study(
                direction="maximize", sampler=optuna.samplers.TPESampler(multivariate=True, seed=seed * 100 + b)
            )
            for b in range(BINS)
        ]
        self.trained = 0

    def ask(self, point: dict[str, Any] | None) -> dict[str, Any]:
        if point is not None or self.trained < 2 * BINS:
            return super().ask(point)
        wanted, self.turn = self.turn % BINS, self.turn + 1
        study = self.studies[wanted]
        for _ in range(10):
            trial = study.ask()
            params = suggest(trial, self.problem)
            study.tell(trial, state=TrialState.FAIL)
            cost = self.problem.cost(params)
            if cost <= self.problem.limit and self.bin_of(cost) == wanted and self.problem.key(params) not in self.seen:
                return params
        return self.draw(wanted) or super().ask(None)

    def tell(self, params: dict[str, Any], accuracy: float, cost: float) -> None:
        if self.problem.key(params) in self.seen:
            return
        super().tell(params, accuracy, cost)
        self.trained += 1
        there = self.problem.structure.complete(params)
        distributions = {name: self.problem.structure.distributions[name] for name in there}
        for b, study in enumerate(self.studies):
            trial = optuna.trial.create_trial(params=there, distributions=distributions, value=accuracy)
            trial.set_constraint("bin", float(abs(self.bin_of(cost) - b)))
            study.add_trial(trial)


def _known(problem: Problem, seed: int, _: int) -> OptunaArm:
    def known(params: dict[str, Any]) -> dict[int, float] | None:
        cost = problem.cost(params)
        return {1: cost} if cost <= problem.limit else None

    return OptunaArm(problem, KnownCostSampler(known, seed, space=problem.structure, reference=problem.reference))


ARMS: dict[str, Callable[[Problem, int, int], Any]] = {
    "known cost": _known,
    "TPE": lambda p, s, n: OptunaArm(p, optuna.samplers.TPESampler(multivariate=True, seed=s)),
    "NSGA-II": lambda p, s, n: OptunaArm(p, optuna.samplers.NSGAIISampler(seed=s)),
    "random": lambda p, s, n: OptunaArm(p, optuna.samplers.RandomSampler(seed=s)),
    "stratified random": Stratified,
    "binned TPE": BinnedTPE,
}


def volumes_at(runs: Sequence[Run], trainings: int) -> list[float]:
    return [run.volumes[min(trainings, len(run.volumes)) - 1] for run in runs]
