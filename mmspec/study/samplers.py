"""Who proposes: Optuna's samplers, made anew for every turn, so that a resumed search proposes what an uninterrupted one would."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from mmspec.study.candidate import digest_of

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


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
