"""What a study's trials say to the sampler."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from mmspec.study.known_cost.structure import Array

PROPOSED = "known_cost:proposed"  # attribute of a trial: what was proposed, before its parameters are asked for
Partial = Callable[["FrozenTrial"], Mapping[int, Sequence[float]]]  # rung -> values, of what came to it
TWICE = 2  # failures after which a point is left alone


@dataclass
class History:
    """Trials but the one that is asked for, oldest first; values in which less is better."""

    done: list[dict[str, Any]] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)  # of `done`, [objectives] each
    ways: list[dict[int, Array]] = field(default_factory=list)  # of `done`, the values at each rung
    stopped: list[tuple[dict[str, Any], dict[int, Array]]] = field(default_factory=list)  # at the last of these rungs
    refused: list[dict[str, Any]] = field(default_factory=list)  # infeasible, or pruned
    pending: list[dict[str, Any]] = field(default_factory=list)  # running, or waiting with their parameters
    failed: list[dict[str, Any]] = field(default_factory=list)  # so often that they are left alone
    spaces: list[tuple[dict[str, Any], dict[str, BaseDistribution]]] = field(default_factory=list)

    @property
    def turn(self) -> int:
        """Failed trials do not count: a run that was cut short proposes the same again."""
        return len(self.done) + len(self.stopped) + len(self.refused) + len(self.pending)


def read(study: Study, current: FrozenTrial, signs: list[int], partial: Partial | None = None) -> History:
    history, failures = History(), Counter[str]()
    minimised = np.array(signs, dtype=float)
    for trial in sorted(study.get_trials(deepcopy=False), key=lambda t: t.number):
        if trial.number == current.number:
            continue
        if trial.state.is_finished() and trial.params and trial.state != TrialState.FAIL:
            history.spaces.append((trial.params, trial.distributions))
        if trial.state == TrialState.COMPLETE and not _infeasible(trial):
            history.done.append(trial.params)
            history.values.append(minimised * np.array(trial.values, dtype=float))
            history.ways.append(_way(trial, minimised, partial))
        elif trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            if not _infeasible(trial) and (way := _way(trial, minimised, partial)):
                history.stopped.append((trial.params, way))
            elif trial.params:
                history.refused.append(trial.params)
        elif trial.state == TrialState.FAIL:
            failures[repr(sorted(trial.params.items()))] += 1
            if failures[repr(sorted(trial.params.items()))] == TWICE and trial.params:
                history.failed.append(trial.params)
        elif params := _intended(trial):
            history.pending.append(params)
    return history


def _way(trial: FrozenTrial, minimised: Array, partial: Partial | None) -> dict[int, Array]:
    found = {} if partial is None else partial(trial)
    return {rung: minimised * np.array(values, dtype=float) for rung, values in sorted(found.items())}


def _infeasible(trial: FrozenTrial) -> bool:
    return any(value > 0 for value in trial.constraints.values())


def _intended(trial: FrozenTrial) -> dict[str, Any]:
    """Parameters of a trial under way: what was proposed or enqueued, and what was suggested by now."""
    proposed = json.loads(trial.system_attrs.get(PROPOSED, "{}"))
    return {**proposed, **trial.system_attrs.get("fixed_params", {}), **trial.params}
