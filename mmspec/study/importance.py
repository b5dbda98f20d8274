"""Which parameters of the space decide what had to be learned.

Extremely randomised trees (Geurts et al. 2006) are fitted to all trainings, and a parameter's importance is the share of the
variance that their splits on it take away. Prices need no such estimate: they are exact. A parameter that a spec does not have
(of an alternative that was not chosen) stands at the mean of the specs that have it, so that it is not credited with what the
alternative itself does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmspec.study.result import Front, Trained

LEAST = 10  # trainings; below, every ranking is noise
TREES = 256


@dataclass(frozen=True)
class Importance:
    """shares      by dotted path, greatest first; they sum to 1
    trainings   that it rests on
    explained   R^2 on trainings that a tree has not seen (out of bag); at 0 or below the shares mean nothing
    """

    objective: str
    shares: Mapping[str, float]
    trainings: int
    explained: float


def importance(front: Front, objective: str) -> Importance | None:
    """None of fewer than `LEAST` trainings, of no varied parameter, and of an objective that is the same everywhere."""
    targets = [searched(t)[objective] for t in front.trained]
    if len(targets) < LEAST or not front.varied or min(targets) == max(targets):
        return None
    from sklearn.ensemble import ExtraTreesRegressor

    columns: list[Sequence[float]] = []
    owners: list[str] = []
    for path in front.varied:
        for column in _columns([t.params.get(path) for t in front.trained]):
            columns.append(column)
            owners.append(path)
    trees = ExtraTreesRegressor(TREES, random_state=0, bootstrap=True, oob_score=True, min_samples_leaf=2)
    trees.fit(list(zip(*columns, strict=True)), targets)
    shares = dict.fromkeys(front.varied, 0.0)
    for path, share in zip(owners, trees.feature_importances_, strict=True):
        shares[path] += float(share)
    ranked = dict(sorted(shares.items(), key=lambda item: -item[1]))
    return Importance(objective, ranked, len(targets), float(trees.oob_score_))


def searched(t: Trained) -> Mapping[str, float]:
    """The values of the search itself: means of fresh trainings are of some specs only."""
    return t.confirmed.searched if t.confirmed else t.values


def _columns(values: Sequence[Any]) -> list[Sequence[float]]:
    """One column of numbers, or one of each other choice. None: the spec does not have the parameter."""
    present = [v for v in values if v is not None]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in present):
        return [_filled([None if v is None else float(v) for v in values])]
    choices = list(dict.fromkeys(repr(v) for v in present))
    return [_filled([None if v is None else float(repr(v) == choice) for v in values]) for choice in choices]


def _filled(column: Sequence[float | None]) -> list[float]:
    known = [v for v in column if v is not None]
    mean = sum(known) / len(known)
    return [mean if v is None else v for v in column]
