"""Who proposes: the sampler that knows costs, or one of Optuna's. A resumed search proposes what an uninterrupted one would."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmspec.study.candidate import Candidate, digest_of
from mmspec.study.store import rungs_of

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from mmspec.study.plan import Plan


def derived_seed(purpose: str, root: int, number: int) -> int:
    """A seed out of the study's own and a number, unrelated to that of another purpose or number; below 2^31."""
    return int(digest_of([purpose, root, number]), 16) % 2**31


def sampler_of(kind: str, root: int, turn: int, trials: int) -> BaseSampler:
    """A fresh sampler for one turn, with a seed from (root, turn): what it proposes depends on these and the history alone.

    TPE is multivariate: on conditional spaces with several objectives it reached a larger hypervolume than the default, than
    NSGA-II and than random search. It draws at random until a third of the trials are known (at most ten).
    """
    import optuna

    seed = derived_seed("propose", root, turn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if kind == "tpe":
            start = max(3, min(10, trials // 3))
            return optuna.samplers.TPESampler(multivariate=True, n_startup_trials=start, seed=seed)
        if kind == "nsga2":
            return optuna.samplers.NSGAIISampler(population_size=max(4, min(50, trials // 4)), seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)


def known_cost(plan: Plan) -> BaseSampler:
    """The sampler that knows costs, for all turns of a study: figures of the price are exact, metrics are learned.

    FLOPs that are expected under halting lie between those of all samples leaving at once and of none doing so.
    """
    from mmspec.study.known_cost import KnownCostSampler

    priced: dict[str, Candidate] = {}

    def candidate(params: Mapping[str, Any]) -> Candidate:
        key = digest_of(params)
        if key not in priced:
            found = plan.pricer(plan.space.point(params))
            priced[key] = Candidate({}, None, found.digest, found.figures, found.problem)
        return priced[key]

    def known(params: Mapping[str, Any]) -> dict[int, float | tuple[float, float]] | None:
        found = candidate(params)
        if found.problem:
            return None
        said = {i: _said(objective.name, found.figures) for i, objective in enumerate(plan.study.objectives)}
        return {i: value for i, value in said.items() if value is not None}

    def partial(trial: FrozenTrial) -> dict[int, list[float]]:
        return {at.step: [at.values[o.name] for o in plan.study.objectives] for at in rungs_of(trial)}

    return KnownCostSampler(
        known,
        derived_seed("propose", plan.study.seed, 0),
        space=plan.space,
        reference=plan.reference or None,
        identity=lambda params: candidate(params).digest,
        partial=partial,
    )


def _said(objective: str, figures: Mapping[str, float]) -> float | tuple[float, float] | None:
    if objective in figures:
        return figures[objective]
    if objective == "flops.expected" and {"flops.minimum", "flops.total"} <= set(figures):
        return figures["flops.minimum"], figures["flops.total"]
    return None
