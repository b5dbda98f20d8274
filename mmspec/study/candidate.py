"""A point of the space before it is trained: the spec it means, what that costs, and whether it may be chosen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmspec.cost.limits import Limit
from mmspec.spec.diagnostics import SpecError

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec

COMPILES = "compiles"  # names of the two constraints that are not limits
TRAINS = "trains"
LATENCY = "latency_ms"  # no figure of the price: of the exported file on this machine, see `mmspec.study.latency`
PRICED = ("parameters", "flops", "communication", "memory", "roles")  # groups of figures that cost no walk of their own


@dataclass(frozen=True)
class Candidate:
    params: Mapping[str, Any]
    spec: ModelSpec | None = None  # None when the choices do not make a spec that compiles
    digest: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""  # why it is not trained; empty when it may be
    constraints: Mapping[str, float] = field(default_factory=dict)  # above 0 is violated; always all keys, in one order

    @property
    def feasible(self) -> bool:
        return not self.problem


@dataclass(frozen=True)
class Pricer:
    """Turns points into priced candidates. Costs a millisecond or so each, and no torch."""

    base: ModelSpec
    limits: Sequence[Limit]
    needed: Sequence[str]  # figures that are objectives, the latency aside
    price: Callable[[ModelSpec], Mapping[str, float]]

    def __call__(self, params: Mapping[str, Any]) -> Candidate:
        keys = (COMPILES, *(str(limit) for limit in self.limits), TRAINS)
        kept = dict.fromkeys(keys, 0.0)
        try:
            spec = self.base.choose(dict(params))
            figures = self.price(spec)
        except SpecError as error:
            return Candidate(
                params, problem=f"does not compile: {_first_line(error)}", constraints={**kept, COMPILES: 1.0}
            )
        limits = [limit for limit in self.limits if limit.figure != LATENCY]
        unknown = [name for name in (*self.needed, *(limit.figure for limit in limits)) if name not in figures]
        if unknown:
            problem = f"{unknown[0]} is not known for it"
            return Candidate(params, spec, digest(spec), figures, problem, {**kept, COMPILES: 1.0})
        violations = {str(limit): limit.violation(figures[limit.figure]) for limit in limits}
        broken = [name for name, violation in violations.items() if violation > 0]
        return Candidate(
            params, spec, digest(spec), figures, f"breaks {broken[0]}" if broken else "", {**kept, **violations}
        )


def timed(candidate: Candidate, limits: Sequence[Limit], milliseconds: float) -> Candidate:
    """The candidate with its measured latency among its figures, and with what that breaks."""
    of_it = [limit for limit in limits if limit.figure == LATENCY]
    violations = {str(limit): limit.violation(milliseconds) for limit in of_it}
    broken = [name for name, violation in violations.items() if violation > 0]
    figures = {**candidate.figures, LATENCY: milliseconds}
    problem = candidate.problem or (f"breaks {broken[0]}" if broken else "")
    return replace(candidate, figures=figures, problem=problem, constraints={**candidate.constraints, **violations})


def price(spec: ModelSpec) -> dict[str, float]:
    """Every figure of the profile that is known, by its dotted name.

    Raises   SpecError: the spec does not compile
    """
    from mmspec.cost import profile

    found = profile(spec)
    return dict(_figures({group: found[group] for group in PRICED}))


def _figures(group: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for key, value in group.items():
        if isinstance(value, Mapping):
            found += _figures(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((f"{prefix}{key}", value))
    return found


def digest(spec: ModelSpec) -> str:
    """Equal for specs that mean the same model: of the resolved spec, names of the file and order of keys aside."""
    return digest_of({key: value for key, value in spec.resolved().items() if key != "name"})


def digest_of(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _first_line(error: SpecError) -> str:
    return error.diagnostics[0].message if error.diagnostics else str(error).partition("\n")[0]
