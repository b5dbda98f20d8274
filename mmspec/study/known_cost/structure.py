"""The parameters of a study and the conditions under which each is there.

A structure is given (as distributions with conditions, or as a `mmspec.study.space.Space`) or inferred from the trials of a
define-by-run study. A *point* is a dict of the parameters that are there, with the values that Optuna shows in `trial.params`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mmspec.study.known_cost.surrogate import ABSENT
from mmspec.study.space import Space, stored

Point = dict[str, Any]
Array = NDArray[np.float64]
LISTED = 1000  # values of an integer that a condition may list
STEPS = (0.03, 0.15, 0.4)  # shares of a long range by which a neighbour differs


@dataclass(frozen=True)
class Parameter:
    name: str
    distribution: BaseDistribution
    condition: tuple[tuple[str, tuple[Any, ...]], ...] = ()  # (parameter, the values under which this one is there)

    def active(self, point: Mapping[str, Any]) -> bool:
        return all(parent in point and point[parent] in values for parent, values in self.condition)

    @cached_property
    def values(self) -> tuple[Any, ...] | None:
        """All values in order; None where there are more than a thousand."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return tuple(d.choices)
        assert isinstance(d, IntDistribution | FloatDistribution)
        if d.step is None or d.log:
            whole = isinstance(d, IntDistribution) and d.high - d.low < LISTED
            return tuple(range(int(d.low), int(d.high) + 1)) if whole else None
        number = round((d.high - d.low) / d.step) + 1
        return tuple(_same_type(d, d.low + i * d.step) for i in range(number)) if number <= LISTED else None

    @cached_property
    def ordered(self) -> bool:
        """Whether nearby values are alike: numbers, also as choices."""
        choices = self.values if isinstance(self.distribution, CategoricalDistribution) else None
        return choices is None or all(isinstance(v, int | float) and not isinstance(v, bool) for v in choices)

    def at(self, share: float) -> Any:
        """The value at a share of the range, 0 the least and 1 the greatest (on a logarithmic scale where it has one)."""
        d = self.distribution
        if self.values is not None and not (isinstance(d, IntDistribution) and d.log):
            return self.values[min(len(self.values) - 1, int(share * len(self.values)))]
        assert isinstance(d, IntDistribution | FloatDistribution)
        low, high = (math.log(d.low), math.log(d.high)) if d.log else (d.low, d.high)
        value = low + share * (high - low)
        return _same_type(d, min(d.high, max(d.low, _on_grid(d, math.exp(value) if d.log else value))))

    def share(self, value: Any) -> float:
        """The inverse of `at`, for ordered parameters; values outside the range are moved to its ends."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return self._ranks.get(value, 0.5)
        assert isinstance(d, IntDistribution | FloatDistribution)
        low, high, value = (math.log(d.low), math.log(d.high), math.log(value)) if d.log else (d.low, d.high, value)
        return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5

    @cached_property
    def _ranks(self) -> dict[Any, float]:
        choices = sorted(self.values or ())
        return {value: i / max(1, len(choices) - 1) for i, value in enumerate(choices)}

    def near(self, value: Any) -> list[Any]:
        """Other values: all of a short list, some steps up and down a long range."""
        if self.values is not None and (len(self.values) <= 8 or not self.ordered):
            return [v for v in self.values if v != value]
        share = self.share(value)
        found = [self.at(min(1.0, max(0.0, share + sign * step))) for step in STEPS for sign in (-1, 1)]
        d = self.distribution
        if isinstance(d, IntDistribution):
            found += [min(d.high, max(d.low, value + d.step)), min(d.high, max(d.low, value - d.step))]
        return [v for v in dict.fromkeys(found) if v != value]

    def encode(self, value: Any) -> float:
        """Its share of the range; of a choice without order its number."""
        return self.share(value) if self.ordered else float((self.values or ()).index(value))


@dataclass(frozen=True)
class Structure:
    parameters: tuple[Parameter, ...]  # each after those its condition speaks of

    @staticmethod
    def of(given: Space | Structure | Mapping[str, Any]) -> Structure:
        """From {name: distribution} or {name: (distribution, {parent: value or values})}, or from a study's space.

        Raises   ValueError: a condition that speaks of an unknown parameter, or in a circle
        """
        if isinstance(given, Structure):
            return given
        if isinstance(given, Space):
            return _of_space(given)
        found = []
        for name, entry in given.items():
            distribution, condition = entry if isinstance(entry, tuple) else (entry, {})
            pairs = tuple((parent, _as_tuple(values)) for parent, values in condition.items())
            found.append(Parameter(name, distribution, pairs))
        return Structure(_sorted(found))

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        return {p.name: p.distribution for p in self.parameters}

    def key(self, point: Mapping[str, Any]) -> tuple[Any, ...]:
        """Equal for points that say the same of the parameters that are there."""
        point = self.complete(point)
        return tuple(point.get(p.name) for p in self.parameters)

    def complete(self, given: Mapping[str, Any], fill: Mapping[str, float] | None = None) -> Point:
        """What of a point is there; with `fill` (a share per name), what is missing is put in."""
        point: Point = {}
        for p in self.parameters:
            if p.active(point):
                if p.name in given:
                    point[p.name] = given[p.name]
                elif fill is not None:
                    point[p.name] = p.at(fill[p.name])
        return point

    def draw(self, generator: np.random.Generator) -> Point:
        return self.complete({}, self._shares(generator))

    def mutate(self, point: Mapping[str, Any], generator: np.random.Generator) -> Point:
        """One to three parameters drawn anew or moved a little; what opens is drawn."""
        names = [p for p in self.parameters if p.name in point]
        changed = dict(point)
        for i in generator.permutation(len(names))[: int(generator.integers(1, 4))]:
            p = names[int(i)]
            others = p.near(point[p.name]) if generator.random() < 0.5 else [p.at(float(generator.random()))]
            if others:
                changed[p.name] = others[int(generator.integers(len(others)))]
        return self.complete(changed, self._shares(generator))

    def neighbours(self, point: Mapping[str, Any], generator: np.random.Generator) -> Iterator[Point]:
        """Points that differ in one parameter; what opens is drawn."""
        for p in self.parameters:
            if p.name in point:
                for value in p.near(point[p.name]):
                    yield self.complete({**point, p.name: value}, self._shares(generator))

    def points(self, most: int) -> list[Point] | None:
        """Every point of a finite structure of at most `most` points, else None."""
        found: list[Point] = [{}]
        for p in self.parameters:
            grown: list[Point] = []
            for point in found:
                if not p.active(point):
                    grown.append(point)
                elif p.values is None or len(grown) + len(p.values) > most:
                    return None
                else:
                    grown += [{**point, p.name: value} for value in p.values]
            found = grown
        return found

    def encode(self, point: Mapping[str, Any]) -> list[float]:
        """One number for each parameter, ABSENT for one that is not there."""
        return [p.encode(point[p.name]) if p.name in point else ABSENT for p in self.parameters]

    @cached_property
    def ordered(self) -> list[bool]:
        return [p.ordered for p in self.parameters]

    def _shares(self, generator: np.random.Generator) -> dict[str, float]:
        return dict(
            zip((p.name for p in self.parameters), generator.random(len(self.parameters)).tolist(), strict=True)
        )


def inferred(trials: Sequence[tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]]) -> Structure | None:
    """What trials (params, distributions) tell of a define-by-run space: None of no trials.

    A parameter that is missing from some trials is there under the values of one other, discrete parameter: of all that agree
    with every trial a categorical one, then the one that is there most often, then the first. Values between the ones seen of an
    integer count as those that open. A parameter that no other explains is left to be drawn at random when it is asked for.
    """
    latest: dict[str, BaseDistribution] = {}
    for _, distributions in trials:
        latest.update(distributions)
    if not latest:
        return None
    seen = {name: frozenset(i for i, (params, _) in enumerate(trials) if name in params) for name in latest}
    plain = {name: Parameter(name, distribution) for name, distribution in latest.items()}
    order = sorted(latest, key=lambda name: (-len(seen[name]), list(latest).index(name)))
    known: list[Parameter] = []
    for name in order:
        if len(seen[name]) == len(trials):
            known.append(plain[name])
            continue
        for parent in sorted(known, key=lambda p: not isinstance(p.distribution, CategoricalDistribution)):
            opened = _opening(plain[parent.name], seen[parent.name], seen[name], trials)
            if opened:
                known.append(Parameter(name, latest[name], ((parent.name, opened),)))
                break
    return Structure(tuple(known))


def _opening(
    parent: Parameter,
    there: frozenset[int],
    opened: frozenset[int],
    trials: Sequence[tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]],
) -> tuple[Any, ...]:
    """Values of the parent under which another parameter is there; empty where it does not explain that."""
    if parent.values is None or not opened <= there:
        return ()
    inside = {trials[i][0][parent.name] for i in opened}
    outside = {trials[i][0][parent.name] for i in there - opened}
    if inside & outside or (not outside and opened != there):
        return ()
    if isinstance(parent.distribution, CategoricalDistribution) or not outside:
        return tuple(v for v in parent.values if v in inside) if outside else parent.values
    if min(inside) > max(outside):
        return tuple(v for v in parent.values if v > max(outside))
    if max(inside) < min(outside):
        return tuple(v for v in parent.values if v < min(outside))
    return ()


def unseen(structure: Structure, points: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a choice of some categorical parameter has never been taken, so that nobody knows what it opens."""
    return any(
        set(p.values or ()) - {point[p.name] for point in points if p.name in point}
        for p in structure.parameters
        if isinstance(p.distribution, CategoricalDistribution)
    )


def _of_space(space: Space) -> Structure:
    by_key = {domain.key: domain for domain in space.domains}
    found = []
    for domain in space.domains:
        distribution: BaseDistribution
        if domain.kind == "choice":
            distribution = CategoricalDistribution([stored(domain, value) for value in domain.values])
        else:
            assert domain.low is not None and domain.high is not None
            if domain.kind == "int":
                low, high, step = int(domain.low), int(domain.high), int(domain.step or 1)
                distribution = IntDistribution(low, high, log=domain.log, step=step)
            else:
                distribution = FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
        condition = tuple((key, (stored(by_key[key], value),)) for key, value in domain.condition)
        found.append(Parameter(domain.key, distribution, condition))
    return Structure(tuple(found))


def _sorted(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    left, done = list(parameters), dict[str, Parameter]()
    while left:
        ready = [p for p in left if all(parent in done for parent, _ in p.condition)]
        if not ready:
            raise ValueError(f"the condition of {left[0].name!r} speaks of no parameter, or in a circle")
        done.update((p.name, p) for p in ready)
        left = [p for p in left if p.name not in done]
    return tuple(done.values())


def _as_tuple(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, list | tuple | set | frozenset | range) else (values,)


def _same_type(d: IntDistribution | FloatDistribution, value: float) -> int | float:
    return int(value) if isinstance(d, IntDistribution) else float(value)


def _on_grid(d: IntDistribution | FloatDistribution, value: float) -> float:
    return d.low + round((value - d.low) / d.step) * d.step if d.step else value
