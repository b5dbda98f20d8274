r"""Is the front what it looks like? Its members, and those just behind it, are trained again with seeds that nobody chose by.

The values of the search picked the front, so that they are the lucky ones; they are not mixed in. With n fresh trainings of each of
k members, the variance of one training is pooled over the members:

    s^2 = sum_i sum_j (y_ij - mean_i)^2 / (k (n - 1))

and mean_i has the interval mean_i +- t(0.975, k (n - 1)) s / sqrt(n). The probability of being non-dominated is the share of draws
from those means' normal distributions in which no other member dominates; what is exact (a price) is not drawn.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmspec.study import events as say
from mmspec.study.evaluation import Untrainable, objective_values, test_accuracy
from mmspec.study.front import dominates, non_dominated
from mmspec.study.jobs import Job
from mmspec.study.result import Confirmed, Front, Trained
from mmspec.study.samplers import derived_seed

if TYPE_CHECKING:
    from mmspec.study.events import Listener
    from mmspec.study.jobs import Executor
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
    jobs: list[Again] = []
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
    means = {trial: {name: _mean([run[name] for run in runs]) for name in names} for trial, runs in values.items()}
    spread = {name: _pooled([[run[name] for run in runs] for runs in values.values()]) for name in learned}
    errors = {
        trial: {name: spread[name] / math.sqrt(len(runs)) for name in learned if spread[name]}
        for trial, runs in values.items()
    }
    wide = _quantile(sum(len(runs) - 1 for runs in values.values()))
    chances = _chances(front, means, errors)
    found = []
    for t in front.trained:
        if t.trial not in means:
            found.append(t)
            continue
        runs, mean = values[t.trial], means[t.trial]
        halves = {name: wide * error for name, error in errors[t.trial].items()}
        test = tuple(tests.get(t.trial, ()))
        confirmed = Confirmed(len(runs), dict(t.values), tuple(map(dict, runs)), mean, halves, chances[t.trial], test)
        found.append(replace(t, values=mean, confirmed=confirmed))
    return replace(front, trained=tuple(found))


def confirmed(planned: Plan, front: Front, executor: Executor, events: Listener) -> Front:
    """The front of fresh trainings' means. Those that were done before a stop are found in their folders."""
    if not planned.study.confirm:
        return front
    left = again(front, planned, planned.study.confirm)
    of = {each.job.number: each for each in left}
    events(say.Confirming(len(left), len({each.trained.trial for each in left})))
    values: dict[int, list[Mapping[str, float]]] = {}
    tests: dict[int, list[float]] = {}
    under_way = 0
    while left or under_way:
        while left and under_way < executor.slots:
            executor.submit(left.pop(0).job)
            under_way += 1
        outcome = executor.wait(lambda *_: None)
        if outcome is None:
            continue
        under_way -= 1
        trained = of[outcome.number].trained
        try:
            if outcome.metrics is None:
                raise Untrainable(outcome.problem)
            found = objective_values(planned, planned.pricer(trained.params), trained.figures, outcome.metrics)
        except Untrainable as error:
            events(say.Reproduced(trained.trial, {}, outcome.seconds, str(error)))
            continue
        values.setdefault(trained.trial, []).append(found)
        if (test := test_accuracy(of[outcome.number].job.folder)) is not None:
            tests.setdefault(trained.trial, []).append(test)
        events(say.Reproduced(trained.trial, found, outcome.seconds))
    return with_means(front, values, tests, planned.exact) if values else front


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _pooled(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation of one training; 0 where each was done once."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = math.fsum((value - _mean(group)) ** 2 for group in groups for value in group)
    return math.sqrt(squares / freedom) if freedom else 0.0


def _quantile(freedom: int) -> float:
    """Of Student's t at 0.975; of single trainings nothing is known."""
    if not freedom:
        return 0.0
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def _chances(
    front: Front, means: Mapping[int, Mapping[str, float]], errors: Mapping[int, Mapping[str, float]]
) -> dict[int, float]:
    """How often each is not dominated. `errors`: standard errors of the means that are learned, by trial."""
    generator = random.Random(0)
    counts = dict.fromkeys(means, 0)
    for _ in range(DRAWS):
        drawn = {}
        for trial, values in means.items():
            moved = {**values, **{name: generator.gauss(values[name], error) for name, error in errors[trial].items()}}
            drawn[trial] = tuple(o.cost(moved[o.name]) for o in front.objectives)
        for trial, point in drawn.items():
            counts[trial] += not any(dominates(other, point) for other in drawn.values())
    return {trial: count / DRAWS for trial, count in counts.items()}
