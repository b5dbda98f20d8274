"""What can be said about a study before anything is trained: its space, its prices, its first points, its mistakes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmspec.cost.limits import Limit, canonical
from mmspec.spec.diagnostics import Diagnostic, SpecError, did_you_mean, listing
from mmspec.study.candidate import LATENCY, Candidate, Pricer, digest_of, price
from mmspec.study.file import Study
from mmspec.study.first import told_first
from mmspec.study.learned import BOUNDS
from mmspec.study.space import Params, Space

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec

SMALL = 512  # a space of at most so many points is priced whole
DRAWN = 200  # specs drawn from a larger one, to find some of a wanted cost
_GROUPS = ("flops", "parameters", "memory")


@dataclass(frozen=True)
class Plan:
    """A study that can be run."""

    study: Study
    base: ModelSpec
    space: Space
    pricer: Pricer
    size: int | None  # of the space, None when it is not finite or not small enough to count
    all: tuple[Candidate, ...]  # of a small space, every point; else empty
    ends: tuple[Candidate, Candidate]  # the feasible specs that cost least and most
    first: tuple[Params, ...]  # proposed before the sampler is asked
    reference: tuple[float, ...]  # of the hypervolume, in the users' signs; empty when an objective has none

    @property
    def exact(self) -> tuple[str, ...]:
        """Objectives that are known before training."""
        return (*self.pricer.needed, *(o.name for o in self.study.objectives if o.name == LATENCY))

    @property
    def question(self) -> dict[str, Any]:
        """What a resumed study must have in common with the one it goes on with: everything but its name and its budget."""
        study = self.study.model_dump(
            exclude={"name", "budget", "base", "space", "variant", "features"}
        )  # defaults too: they may change
        domains = {domain.key: f"{domain.kind}: {domain}" for domain in self.space.domains}
        return {"study": study, "space": domains, "base": self.base.choose(self.first[0]).resolved()}


def plan(
    study: Study, base: ModelSpec, space: Space, price: Callable[[ModelSpec], Mapping[str, float]] = price
) -> Plan:
    """Check a study against its base.

    Raises   SpecError: nothing is open, an objective or a limit that does not exist, a base that does not compile, or no spec
             within the limits (with the smallest that there is), all located in the study file
    """
    if not space.domains:
        message = "nothing is open: the base has no domains, and the study adds none"
        raise SpecError(
            [study.diagnostic(("base",), message, "for example space: {fusion.joint.depth: {choice: [1, 2, 3]}}")]
        )
    limits = study.parsed_limits
    figures = _figures(base, space, price)
    if problems := [*_objective_problems(study, base, figures), *_limit_problems(study, limits, figures)]:
        raise SpecError(problems)
    needed = [o.name for o in study.objectives if o.name in figures and o.name not in BOUNDS]
    pricer = Pricer(base, limits, needed, price)
    size = space.size()
    everything = tuple(map(pricer, space.points())) if size is not None and size <= SMALL else ()
    unpriced = any(
        o.name == LATENCY or o.name in BOUNDS for o in study.objectives
    )  # work orders them nearly as they are
    cost = needed[0] if needed else "flops.total" if unpriced else "parameters.total"
    smallest, largest = (_extreme(space, pricer, everything, cost, most) for most in (False, True))
    if smallest is None:
        raise SpecError([_nothing_fits(study, space, pricer, everything, limits)])
    ends = smallest, largest or smallest
    between = _spread(space, pricer, everything, cost, ends, min(3, study.budget.trials // 4))
    told = told_first(study, space, pricer)
    defaults = [] if pricer(space.defaults()).problem else [space.defaults()]
    first = _distinct([*told, *defaults, *(dict(c.params) for c in (*ends, *between))])
    if problems := [*_reference_problems(study, needed, [c for c in everything if c.feasible] or ends)]:
        raise SpecError(problems)
    return Plan(study, base, space, pricer, size, everything, ends, tuple(first), reference_of(study, ends[1]))


def _figures(base: ModelSpec, space: Space, price: Callable[[ModelSpec], Mapping[str, float]]) -> Mapping[str, float]:
    """What a price of this space consists of, from the first spec that compiles: the defaults, else one drawn at random."""
    try:
        return price(base.choose(space.defaults()))
    except SpecError:
        for seed in range(64):
            try:
                return price(base.choose(space.random(seed)))
            except SpecError:
                continue
        raise


def _objective_problems(study: Study, base: ModelSpec, figures: Mapping[str, float]) -> Iterator[Diagnostic]:
    told: list[Any] = [*base.objectives]  # of masked patches nothing is right or wrong
    painted = bool(told) and all(objective.type == "masked_patches" for objective in told)
    measures = ("loss",) if painted else ("accuracy", "loss")
    metrics = [*measures[:-1], *(f"heads.{head}.{name}" for head in base.heads for name in measures)]
    places = [("maximize", i, name) for i, name in enumerate(study.maximize)]
    places += [("minimize", i, name) for i, name in enumerate(study.minimize)]
    for where, i, written in places:
        name = canonical(written)
        if (
            name in figures
            or (where == "minimize" and (name == LATENCY or name in BOUNDS))
            or (name in metrics and study.recipe)
            or (study.evaluate and name.split(".")[0] not in _GROUPS)
        ):
            continue
        known = [*metrics, *figures, LATENCY] if study.recipe else [*figures, LATENCY]
        note = f"metrics: {listing(metrics)}" if study.recipe else "metrics: what your `evaluate` returns"
        message = f"unknown objective {written!r}{did_you_mean(written, known)}"
        yield study.diagnostic((where, i), message, note, f"figures: {listing([*figures, LATENCY])}")
    names = [o.name for o in study.objectives]
    for written in study.reference:
        if canonical(written) not in names:
            message = f"a reference for {written!r}, which is not sought{did_you_mean(written, names)}"
            yield study.diagnostic(("reference", written), message, f"objectives: {listing(names)}", at_key=True)


def _limit_problems(study: Study, limits: Iterable[Limit], figures: Mapping[str, float]) -> Iterator[Diagnostic]:
    for i, limit in enumerate(limits):
        if limit.figure in BOUNDS:
            least, most = BOUNDS[limit.figure]
            message = f"{limit.figure} is not known before training; a limit may speak of {least} or {most}"
        elif limit.figure in figures or limit.figure == LATENCY:
            continue
        elif limit.figure == "accuracy" or limit.figure.startswith("heads."):
            message = f"{limit.figure} is not known before training; a limit speaks of the price. Make it an objective"
        else:
            message = f"unknown figure {limit.figure!r} in a limit{did_you_mean(limit.figure, [*figures, LATENCY])}"
        yield study.diagnostic(("limits", i), message, f"figures: {listing([*figures, LATENCY])}")


def _reference_problems(study: Study, exact: Sequence[str], feasible: Sequence[Candidate]) -> Iterator[Diagnostic]:
    """A reference inside the front: what may be trained and is known to be worse than it would count for nothing."""
    for o in study.objectives:
        written = next((name for name in study.reference if canonical(name) == o.name), None)
        if written is None:
            continue
        value = study.reference[written]
        if o.name in exact:
            worst = max((c.figures[o.name] for c in feasible), key=o.cost)
            if o.cost(value) < o.cost(worst):
                dear = f"a spec of the space has {worst:,.0f}, and would count for nothing"
                note = f'leave it out, or keep such specs out: limits: ["{o.name} {">=" if o.maximize else "<="} {value:g}"]'
                yield study.diagnostic(("reference", written), f"the reference lies inside the front: {dear}", note)
        elif o.maximize and o.name.split(".")[-1] == "accuracy" and value >= 1:
            yield study.diagnostic(
                ("reference", written), "the reference lies inside the front: no accuracy is above 1"
            )


def _extreme(
    space: Space, pricer: Pricer, everything: Iterable[Candidate], cost: str, largest: bool
) -> Candidate | None:
    """The feasible spec with the least or greatest cost: of all in a small space, else by changing one domain at a time."""
    sign = -1 if largest else 1

    def rank(c: Candidate) -> tuple[bool, float, float]:
        return (not c.feasible, max(0.0, *c.constraints.values()), sign * c.figures.get(cost, float("inf") * sign))

    if everything:
        best = min(everything, key=rank)
        return best if best.feasible else None
    best = pricer(space.defaults())
    for _ in range(3 * len(space.domains)):
        better = min((best, *map(pricer, space.neighbours(best.params))), key=rank)
        if rank(better) >= rank(best):
            break
        best = better
    return best if best.feasible else None


def _spread(
    space: Space,
    pricer: Pricer,
    everything: Sequence[Candidate],
    cost: str,
    ends: Sequence[Candidate],
    number: int,
) -> list[Candidate]:
    """Feasible specs between the ends, at even distances of the logarithm of the cost: a front is seen early in its whole width."""
    low, high = (end.figures[cost] for end in ends)
    if number < 1 or not 0 < low < high:
        return []
    tried = everything or [pricer(space.random(seed)) for seed in range(DRAWN)]
    feasible = [c for c in tried if c.feasible]
    targets = [low * (high / low) ** (i / (number + 1)) for i in range(1, number + 1)]
    return [min(feasible, key=lambda c: abs(math.log(c.figures[cost] / t))) for t in targets] if feasible else []


def _nothing_fits(
    study: Study, space: Space, pricer: Pricer, everything: tuple[Candidate, ...], limits: tuple[Limit, ...]
) -> Diagnostic:
    tried = everything or tuple(pricer(space.random(seed)) for seed in range(64))
    for i, limit in enumerate(limits):
        known = [c.figures[limit.figure] for c in tried if limit.figure in c.figures]
        nearest = min(known, key=limit.violation, default=None)
        if nearest is not None and limit.violation(nearest) > 0:
            most = "smallest" if limit.relation == "<=" else "largest"
            return study.diagnostic(
                ("limits", i), f"no spec of the space keeps this limit: the {most} has {nearest:,.0f}"
            )
    reasons = sorted({c.problem for c in tried if c.problem})
    return study.diagnostic(("space",), "no spec of the space can be trained", *reasons[:5])


def _distinct(points: Iterable[Params]) -> list[Params]:
    return list({digest_of(point): point for point in points}.values())


def reference_of(study: Study, largest: Candidate) -> tuple[float, ...]:
    """Per objective: what the study says; else 0 for what is maximised, and for a cost that of the largest spec that may be."""
    given = {canonical(name): value for name, value in study.reference.items()}
    found = [
        given.get(o.name, 0.0 if o.maximize else largest.figures.get(BOUNDS.get(o.name, ("", o.name))[1]))
        for o in study.objectives
    ]
    return tuple(v for v in found if v is not None) if None not in found else ()


def unseen(plan: Plan, known: Callable[[Candidate], bool], seed: int) -> Params | None:
    """A feasible point that is not known yet, drawn evenly from a small space and by trial from a large one; None if none."""
    import random

    if plan.all:
        left = [c for c in plan.all if c.feasible and not known(c)]
        return dict(random.Random(seed).choice(left).params) if left else None
    for attempt in itertools.islice(itertools.count(seed), 1000):
        candidate = plan.pricer(plan.space.random(attempt))
        if candidate.feasible and not known(candidate):
            return dict(candidate.params)
    return None
