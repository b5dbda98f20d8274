"""The space of a study: the base spec's open domains, and those that the study adds.

A point is what was chosen for every domain that is there, given the other choices: `{"fusion.joint": "gated",
"fusion.joint[gated].depth": 2}`. Domains under an alternative that was not chosen are not in the point, so that two points
are equal exactly when they mean the same choices.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import Trial

    from mmspec.spec.domains import Domain

Params = dict[str, Any]


@dataclass(frozen=True)
class Space:
    domains: tuple[Domain, ...]  # a domain stands after those its condition speaks of
    said: Mapping[str, Any] = field(default_factory=dict)  # defaults of domains that have none of their own

    @staticmethod
    def of(domains: Mapping[str, Domain], said: Mapping[str, Any] | None = None) -> Space:
        return Space(tuple(sorted(domains.values(), key=lambda d: len(d.condition))), said or {})

    def suggest(self, trial: Trial) -> Params:
        """Ask an Optuna trial for a point; everything that is there is suggested, whatever comes out of it."""
        point: Params = {}
        for domain in self.domains:
            if domain.active(point):
                point[domain.key] = _suggest(trial, domain)
        return point

    def defaults(self, given: Mapping[str, Any] | None = None) -> Params:
        """The point where everything has its default (or first value), but for what is given."""
        given = {**self.said, **(given or {})}
        point: Params = {}
        for domain in self.domains:
            if domain.active(point):
                point[domain.key] = given[domain.key] if domain.key in given else _first(domain)
        return point

    def point(self, params: Mapping[str, Any]) -> Params:
        """A point from what Optuna keeps of it (see `stored`)."""
        point: Params = {}
        for domain in self.domains:
            if domain.key in params and domain.active(point):
                point[domain.key] = _read(domain, params[domain.key])
        return point

    def random(self, seed: int) -> Params:
        generator = random.Random(seed)
        point: Params = {}
        for domain in self.domains:
            if domain.active(point):
                point[domain.key] = _draw(domain, generator)
        return point

    def points(self) -> Iterator[Params]:
        """Every point of a finite space, in order.

        Raises   ValueError: a domain is continuous
        """
        yield from self._from(0, {})

    def _from(self, i: int, point: Params) -> Iterator[Params]:
        if i == len(self.domains):
            yield point
        elif not self.domains[i].active(point):
            yield from self._from(i + 1, point)
        else:
            for value in values(self.domains[i]):
                yield from self._from(i + 1, {**point, self.domains[i].key: value})

    def size(self, most: int = 1_000_000) -> int | None:
        """How many points there are, counted up to `most`; None when more, or when a domain is continuous."""
        if any(count(domain) is None for domain in self.domains):
            return None
        if not any(domain.condition for domain in self.domains):
            product = math.prod(count(domain) or 1 for domain in self.domains)
            return product if product <= most else None
        number = 0
        for number, _ in enumerate(self.points(), 1):
            if number > most:
                return None
        return number

    def neighbours(self, point: Mapping[str, Any]) -> Iterator[Params]:
        """Points that differ in one domain: every choice of it, the ends of a range. What opens anew takes its default."""
        for domain in self.domains:
            if domain.key in point:
                ends = domain.values if domain.kind == "choice" else (domain.low, domain.high)
                for value in ends:
                    if value != point[domain.key]:
                        yield self.defaults({**point, domain.key: value})


def count(domain: Domain) -> int | None:
    """How many values a domain has; None for a continuous one."""
    if domain.kind == "choice":
        return len(domain.values)
    assert domain.low is not None and domain.high is not None
    if domain.kind == "float" and not domain.step:
        return 1 if domain.low == domain.high else None
    return round((domain.high - domain.low) / (domain.step or 1)) + 1


def values(domain: Domain) -> tuple[Any, ...]:
    """Raises ValueError for a continuous domain."""
    if domain.kind == "choice":
        return domain.values
    number = count(domain)
    if number is None:
        raise ValueError(f"{domain.key} is continuous")
    return tuple(_number(domain, i) for i in range(number))


def _number(domain: Domain, i: int) -> int | float:
    assert domain.low is not None
    value = domain.low + i * (domain.step or 1)
    return int(value) if domain.kind == "int" else float(value)


def _first(domain: Domain) -> Any:
    if domain.has_default:
        return domain.default
    return domain.values[0] if domain.kind == "choice" else domain.low


def _draw(domain: Domain, generator: random.Random) -> Any:
    if (number := count(domain)) is not None and not domain.log:
        return (
            domain.values[generator.randrange(number)]
            if domain.kind == "choice"
            else _number(domain, generator.randrange(number))
        )
    assert domain.low is not None and domain.high is not None
    if domain.log:
        value = math.exp(generator.uniform(math.log(domain.low), math.log(domain.high)))
        return max(int(domain.low), min(int(domain.high), round(value))) if domain.kind == "int" else value
    return generator.uniform(domain.low, domain.high)


def stored(domain: Domain, value: Any) -> Any:
    """A value as Optuna keeps it: itself, or its spelling where two choices would be equal to Optuna (1, 1.0 and true)."""
    return value if domain.kind != "choice" or _distinct(domain) else repr(value)


def _read(domain: Domain, kept: Any) -> Any:
    """The inverse of `stored`."""
    return next(v for v in domain.values if stored(domain, v) == kept) if domain.kind == "choice" else kept


def _distinct(domain: Domain) -> bool:
    return len(set(domain.values)) == len(domain.values)


def _suggest(trial: Trial, domain: Domain) -> Any:
    if domain.kind == "choice":
        return _read(domain, trial.suggest_categorical(domain.key, [stored(domain, v) for v in domain.values]))
    assert domain.low is not None and domain.high is not None
    if domain.kind == "int":
        return trial.suggest_int(
            domain.key, int(domain.low), int(domain.high), step=int(domain.step or 1), log=domain.log
        )
    return trial.suggest_float(domain.key, float(domain.low), float(domain.high), step=domain.step, log=domain.log)


def read_at(resolved: Any, path: tuple[str | int, ...]) -> Any:
    """What a resolved spec says where a domain stands: a value, or the type of the component that was chosen."""
    for step in path:
        if isinstance(resolved, Mapping):
            resolved = resolved.get(str(step))
        elif isinstance(resolved, list | tuple) and str(step).isdecimal() and int(step) < len(resolved):
            resolved = resolved[int(step)]
        else:
            return None
    return resolved.get("type") if isinstance(resolved, Mapping) else resolved
