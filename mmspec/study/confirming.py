r"""Is the front what it looks like? Its members, and those just behind it, are trained again with seeds that nobody chose by.

The values of the search picked the front, so that they are the lucky ones; they are not mixed in. With n fresh trainings of each of
k members, the variance of one training is pooled over the members:

    s^2 = sum_i sum_j (y_ij - mean_i)^2 / (k (n - 1))

and mean_i has the interval mean_i +- t(0.975, k (n - 1)) s / sqrt(n). The probability of being non-dominated is the share of draws
from those means' normal distributions in which no other member dominates; what is exact (a price) is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmspec.study.front import dominates, non_dominated
from mmspec.study.jobs import Job
from mmspec.study.result import Confirmed, Front, Trained
from mmspec.study.samplers import derived_seed

if TYPE_CHECKING:
    from mmspec.study.plan import Plan

FOLDER = "confirmed"
DRAWS = 4000


@dataclass(frozen=True)
class Again:
    """One more training of a member."""

    trained: Trained
    job: Job


def contenders(front: Front) -> list[Trained]:
    """Ranks 0 and 1: the front, and the front of what is left without it."""
    first = [front.trained[i] for i in non_dominated([front.costs(t) for t in front.trained])]
    rest = [t for t in front.trained if all(t.trial != other.trial for other in first)]
    second = [rest[i] for i in non_dominated([front.costs(t) for t in rest])]
    return sorted([*first, *second], key=lambda t: t.trial)


def again(front: Front, planned: Plan, seeds: int) -> list[Again]:
    """The trainings to be done, each in a folder of its own with a seed that no training of the search had."""
    jobs = []
    for trained in contenders(front):
        for number in range(seeds):
            seed = derived_seed("confirm", planned.study.seed, trained.trial * 1000 + number)
            folder = front.folder / FOLDER / f"{trained.trial:03d}-{trained.digest[:8]}-{number}"
            jobs.append(Again(trained, Job(len(jobs), dict(trained.params), trained.digest, folder, seed)))
    return jobs


def with_means(
    front: Front,
    values: Mapping[int, Sequence[Mapping[str, float]]],
    tests: Mapping[int, Sequence[float]],
    priced: Sequence[str],
) -> Front:
    """The front of the fresh trainings' means. `values`: by trial, those of every fresh training; `tests`: accuracies on the test
    split; `priced`: objectives that are exact."""
    names = [o.name for o in front.objectives]
    learned = [name for name in names if name not in priced]
    means = {trial: {name: _mean([v[name] for v in runs]) for name in names} for trial, runs in values.items()}
    spread = {name: _pooled([[v[name] for v in runs] for runs in values.values()]) for name in learned}
    kept = [t for t in front.trained if t.trial in means]
    chances = _chances(front, kept, means, {name: _error(spread[name], values) for name in learned})
    found = []
    for t in front.trained:
        runs = values.get(t.trial)
        if runs is None:
            found.append(t)
            continue
        halves = {
            name: _quantile(len(values) * (len(runs) - 1)) * spread[name] / math.sqrt(len(runs))
            for name in learned
            if len(runs) > 1
        }
        confirmed = Confirmed(
            len(runs), dict(t.values), tuple(dict(run) for run in runs), means[t.trial], halves,
            chances[t.trial], tuple(tests.get(t.trial, ())),
        )  # fmt: skip
        found.append(replace(t, values=means[t.trial], confirmed=confirmed))
    return replace(front, trained=tuple(found))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _pooled(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation of one training; 0 where each was done once."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = math.fsum((value - _mean(group)) ** 2 for group in groups for value in group)
    return math.sqrt(squares / freedom) if freedom else 0.0


def _error(spread: float, values: Mapping[int, Sequence[Any]]) -> Callable[[int], float]:
    return lambda trial: spread / math.sqrt(len(values[trial]))


def _quantile(freedom: int) -> float:
    """Of Student's t at 0.975."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def _chances(
    front: Front,
    kept: Sequence[Trained],
    means: Mapping[int, Mapping[str, float]],
    errors: Mapping[str, Callable[[int], float]],
) -> dict[int, float]:
    import random

    generator = random.Random(derived_seed("chances", 0, len(kept)))
    counts = dict.fromkeys((t.trial for t in kept), 0)
    for _ in range(DRAWS):
        drawn = {}
        for t in kept:
            values = means[t.trial]
            moved = {
                name: generator.gauss(values[name], errors[name](t.trial)) if name in errors else values[name]
                for name in values
            }
            drawn[t.trial] = tuple(o.cost(moved[o.name]) for o in front.objectives)
        for trial, point in drawn.items():
            counts[trial] += not any(dominates(other, point) for other in drawn.values())
    return {trial: count / DRAWS for trial, count in counts.items()}
