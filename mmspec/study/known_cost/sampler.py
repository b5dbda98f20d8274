"""An Optuna sampler for studies in which some objectives are known before a trial is run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

from mmspec.study.known_cost import history as past
from mmspec.study.known_cost.history import History, Partial
from mmspec.study.known_cost.model import Model
from mmspec.study.known_cost.pool import Known, Pool, Priced, distinct, logarithms, stacked
from mmspec.study.known_cost.structure import Array, Parameter, Structure, inferred, unseen

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from mmspec.study.space import Space

GROWTH = 500  # random points that are priced anew in each of the first turns
MUTATIONS = 20  # of each member of the front
ROUNDS = 5  # of looking at the neighbours of the best candidates
CLIMBED = 3  # best candidates in each
LOOKS = 5  # trials from which a space is inferred; twice as many where choices are left that nobody has seen
NEAR = 0.02  # share of the pool that counts as "of this cost"


class KnownCostSampler(BaseSampler):
    """Models only the objectives that are not known, and proposes the greatest expected hypervolume improvement.

        sampler = KnownCostSampler(known=lambda params: {1: flops(params)})
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    known       f(params) -> {objective index: value}, exact and cheap, called once for each point that is looked at; (low, high)
                for a value that is only bounded; an objective that is left out is modelled. None for a point that must not be
                tried. Values have the study's signs.
    seed        of everything; a study that is resumed with the same seed proposes what an uninterrupted one would
    space       {name: distribution} or {name: (distribution, {other name: value or values})} with conditions, or a
                `mmspec.study.space.Space`. Without it, it is inferred from the trials (see `structure.inferred`), and a few first
                trials are drawn at random
    reference   of the hypervolume, in the study's signs; by default the dearest cost of the first points looked at, and the worst
                value seen of what is modelled
    start       trials that are spread over the costs before anything is modelled
    pool        random points that are looked at in every later turn, beside the surroundings of the front
    identity    f(params) -> hashable, equal for points that mean the same; by default the parameters that are there
    partial     f(trial) -> {rung: values of all objectives}, of a finished or pruned trial what it had reached on its way; where it
                would have ended is learned from, with doubt (see `ends`). A PRUNED trial of which it says nothing counts as refused

    Parallel: trials under way are taken to end as predicted. Constraints: a trial with a constraint above 0, or PRUNED without
    `partial` values, lowers the chance of what is like it. FAIL is overlooked, as by all of Optuna's samplers, until the same
    point has failed twice.
    Raises ValueError: `known` returns something else; a wrong `space` or `reference`.
    """

    def __init__(
        self,
        known: Known,
        seed: int = 0,
        *,
        space: Space | Structure | Mapping[str, Any] | None = None,
        reference: Sequence[float] | None = None,
        start: int = 3,
        pool: int = 2000,
        identity: Callable[[dict[str, Any]], Hashable] | None = None,
        partial: Partial | None = None,
    ) -> None:
        if start < 2 or pool < 1:
            raise ValueError("at least 2 first trials and a pool of at least 1 are needed")
        self.known, self.seed, self.start, self.size, self.identity = known, seed, start, pool, identity
        self.partial = partial
        self.reference = None if reference is None else tuple(reference)
        self._given = None if space is None else Structure.of(space)
        self._pool: Pool | None = None
        self._one_at_a_time = threading.Lock()  # what one thread proposes, the next one has to see

    # what Optuna calls

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        history = past.read(study, trial, _signs(study), self.partial)
        structure = self._structure(history)
        return {} if structure is None else structure.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space or "fixed_params" in trial.system_attrs:
            return {}
        signs = _signs(study)
        with self._one_at_a_time:
            history = past.read(study, trial, signs, self.partial)
            structure = self._structure(history)
            chosen = None if structure is None else self._choose(history, structure, signs)
            if chosen is None:
                return {}
            study._storage.set_trial_system_attr(trial._trial_id, past.PROPOSED, json.dumps(chosen.point))
        return dict(chosen.point)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random; of a categorical parameter what was taken least often."""
        history = past.read(study, trial, _signs(study), self.partial)
        parameter = Parameter(param_name, param_distribution)
        generator = np.random.default_rng([self.seed, 3, history.turn, *param_name.encode()])
        if isinstance(param_distribution, CategoricalDistribution):
            taken = [p[param_name] for p in (*history.done, *history.refused, *history.pending) if param_name in p]
            least = min(map(taken.count, param_distribution.choices))
            rare = [c for c in param_distribution.choices if taken.count(c) == least]
            return rare[int(generator.integers(len(rare)))]
        return parameter.at(float(generator.random()))

    # how a point is chosen

    def _structure(self, history: History) -> Structure | None:
        """None while the space is not known well enough."""
        if self._given is not None:
            return self._given
        found = inferred(history.spaces)
        if found is None or len(history.spaces) < LOOKS // 2:
            return None
        if len(history.spaces) < 2 * LOOKS and unseen(found, [params for params, _ in history.spaces]):
            return None
        return found

    def _choose(self, history: History, structure: Structure, signs: list[int]) -> Priced | None:
        if self._pool is None or self._pool.structure != structure or list(self._pool.signs) != signs:
            self._pool = Pool(structure, self.known, signs, self.seed, self.identity)
        pool = self._pool
        done = [pool.price(params) for params in history.done]
        refused = [pool.price(params) for params in history.refused]
        pending = [pool.price(params) for params in history.pending]
        stopped = [(pool.price(params), way) for params, way in history.stopped]
        tried = [*done, *(c for c, _ in stopped), *pending, *refused]
        taken = {c.key for c in (*tried, *(pool.price(params) for params in history.failed))}
        base = pool.base(min(self.size, GROWTH * (history.turn + 1)))
        open_ = distinct(base, taken)
        if history.turn < self.start or len(done) < 2:
            return _spread(open_, tried, history.turn, structure.ordered)
        values = np.stack(history.values)
        reference = self._reference(values, base, signs)
        told = [i for i, c in enumerate(done) if c.allowed]
        if len(told) < 2:
            return _spread(open_, done, history.turn, structure.ordered)
        model = Model(
            structure.ordered,
            [done[i] for i in told],
            values[told],
            [c for c in refused if c.allowed],
            [c for c in pending if c.allowed],
            [history.ways[i] for i in told],
            [(c, way) for c, way in stopped if c.allowed],
        )
        front = [done[i].point for i in _front(values)]
        open_ = distinct([*open_, *pool.around(front, MUTATIONS)], taken)
        if not open_:
            return None
        gain = model.gain(open_, reference, self._turn_seed(history))
        for _ in range(ROUNDS):
            best = [open_[i] for i in np.argsort(-gain, kind="stable")[:CLIMBED]]
            more = distinct(pool.around([c.point for c in best], 0), taken | {c.key for c in open_})
            if not more:
                break
            gain = np.concatenate([gain, model.gain(more, reference, self._turn_seed(history))])
            open_ = [*open_, *more]
        return open_[int(np.argmax(gain))]

    def _turn_seed(self, history: History) -> int:
        return int(np.random.default_rng([self.seed, 4, history.turn]).integers(2**31))

    def _reference(self, values: Array, base: Sequence[Priced], signs: list[int]) -> Array:
        if self.reference is not None:
            if len(self.reference) != len(signs):
                raise ValueError(f"a reference of {len(self.reference)} values, for {len(signs)} objectives")
            return np.asarray([sign * value for sign, value in zip(signs, self.reference, strict=True)], dtype=float)
        _, _, high = stacked([c for c in base if c.allowed])
        dearest = np.where(np.isfinite(high).all(axis=0), high.max(axis=0), -np.inf)
        worst = np.maximum(values.max(axis=0), dearest)
        return np.asarray(worst + 0.01 * np.maximum(worst - values.min(axis=0), 1e-12))


def _signs(study: Study) -> list[int]:
    return [-1 if direction == StudyDirection.MAXIMIZE else 1 for direction in study.directions]


def _front(values: Array) -> list[int]:
    from mmspec.study.front import non_dominated

    return non_dominated(values.tolist())


def _spread(candidates: Sequence[Priced], tried: Sequence[Priced], turn: int, ordered: Sequence[bool]) -> Priced | None:
    """The middle, the quarters, the eighths, ... of the logarithm of a known cost (each in turn where there are several); among
    those of about that cost, the one that is least like what was tried.

    Not the ends: the dearest dominates next to nothing up to a reference of about its cost, the cheapest reaches little.
    """
    if not candidates:
        return None
    rows, low, high = stacked(candidates)
    costs = [j for j in range(low.shape[1]) if np.isfinite(low[:, j]).all() and np.isfinite(high[:, j]).all()]
    if not costs:
        return candidates[_least_like(rows, tried, list(range(len(candidates))), ordered)]
    index = costs[turn % len(costs)]
    before = [c.low[index] + (c.high[index] - c.low[index]) / 2 for c in tried if np.isfinite(c.low[index])]
    middle = low[:, index] + (high[:, index] - low[:, index]) / 2
    axis = logarithms(np.array([*middle, *before])[:, None])[:, 0]
    if axis.max() > axis.min():
        axis = (axis - axis.min()) / (axis.max() - axis.min())
    distance = np.abs(axis[: len(candidates)] - _halves(turn))
    order = np.argsort(distance, kind="stable")
    return candidates[_least_like(rows, tried, order[: max(1, round(NEAR * len(candidates)))].tolist(), ordered)]


def _least_like(rows: Array, tried: Sequence[Priced], among: list[int], ordered: Sequence[bool]) -> int:
    if not tried:
        return among[0]
    here, before = rows[among][:, None, :], np.stack([c.row for c in tried])
    gaps = np.where(ordered, np.abs(here - before), here != before).sum(axis=2).min(axis=1)
    return among[int(np.argmax(gaps))]


def _halves(turn: int) -> float:
    """1/2, 1/4, 3/4, 1/8, 3/8, ..."""
    level = (turn + 1).bit_length()
    return float((2 * (turn + 1 - 2 ** (level - 1)) + 1) / 2**level)
