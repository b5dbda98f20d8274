"""What is believed of points that were not tried: values of the unknown objectives, and the chance to be trainable at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmspec.study.known_cost.ends import expected_end
from mmspec.study.known_cost.improvement import expected_improvement
from mmspec.study.known_cost.pool import Priced, stacked
from mmspec.study.known_cost.structure import Array
from mmspec.study.known_cost.surrogate import GaussianProcess

NO_WAYS: Sequence[Mapping[int, Array]] = ()
LEAST = 0.02  # chance that is left to what looks untrainable


class Model:
    """Fitted to trials that are done and to where stopped ones would have ended; those under way are taken to end as predicted."""

    def __init__(
        self,
        ordered: Sequence[bool],
        done: Sequence[Priced],
        values: Array,
        refused: Sequence[Priced],
        pending: Sequence[Priced],
        ways: Sequence[Mapping[int, Array]] = NO_WAYS,
        stopped: Sequence[tuple[Priced, Mapping[int, Array]]] = (),
    ) -> None:
        """
        ordered   of each column of the points' rows
        ways      of each that is done, its values at each rung
        stopped   trainings that ended at the last of their rungs: their ends are learned as expected, with doubt; the front is
                  that of measured values alone
        """
        self.known, self.values = list(done), values
        _, low, high = stacked([*done, *(c for c, _ in stopped), *refused, *pending])
        self.costs = np.flatnonzero((np.isfinite(low) & np.isfinite(high)).all(axis=0))
        self.logs = (low[:, self.costs] > 0).all(axis=0)
        costs = self._costs(low, high)
        self.ordered = [*ordered, *[True] * len(self.costs)]
        self.shift, self.span = costs.min(axis=0), np.maximum(np.ptp(costs, axis=0), 1e-12)
        self.parts = self._parts(ways, stopped)
        self._fit()
        self.chance: GaussianProcess | None = None
        if refused:
            told = [*done, *refused]
            self.chance = self._process(self._rows(told), np.array([1.0] * len(done) + [0.0] * len(refused)))
        if pending:
            mean, _ = self.predict(pending)
            self.known = [*self.known, *pending]
            self.values = np.concatenate([values, mean])
            self._fit()

    def _parts(
        self, ways: Sequence[Mapping[int, Array]], stopped: Sequence[tuple[Priced, Mapping[int, Array]]]
    ) -> list[tuple[Priced, Array, Array]]:
        """(point, expected end, doubt) of each that was stopped where others went on to the end."""
        found = []
        for rung in sorted({max(way) for _, way in stopped}):
            on = [i for i, way in enumerate(ways) if rung in way]
            here = [(point, way[rung]) for point, way in stopped if max(way) == rung]
            if not on:
                continue
            costs = self._costs(*stacked([self.known[i] for i in on])[1:])
            others = self._costs(*stacked([point for point, _ in here])[1:])
            ends, doubts = np.zeros((len(here), self.values.shape[1])), np.zeros(self.values.shape[1])
            for j in range(self.values.shape[1]):
                at = np.array([ways[i][rung][j] for i in on])
                there = np.array([values[j] for _, values in here])
                ends[:, j], doubts[j] = expected_end(at, costs, self.values[on, j], there, others)
            found += [(point, end, doubts) for (point, _), end in zip(here, ends, strict=True)]
        return found

    def _fit(self) -> None:
        points = [*self.known, *(point for point, _, _ in self.parts)]
        values = np.stack([*self.values, *(end for _, end, _ in self.parts)])
        doubts = np.stack([*np.zeros_like(self.values), *(doubt for _, _, doubt in self.parts)])
        _, low, high = stacked(points)
        rows = self._rows(points)
        self.learned: dict[int, GaussianProcess] = {}
        for j in range(values.shape[1]):
            open_ = low[:, j] < high[:, j]
            if open_.sum() >= 2:
                share = _share(values[open_, j], low[open_, j], high[open_, j])
                doubt = doubts[open_, j] / _scale(low[open_, j], high[open_, j])[1]
                self.learned[j] = self._process(rows[open_], share, doubt)

    def predict(self, points: Sequence[Priced]) -> tuple[Array, Array]:
        """(mean, standard deviation), each [N, objectives]; a deviation of 0 for what is exact."""
        rows, low, high = self._rows(points), *stacked(points)[1:]
        mean, deviation = np.where(low == high, low, 0.0), np.zeros_like(low)
        for j in range(low.shape[1]):
            open_ = low[:, j] < high[:, j]
            if not open_.any():
                continue
            if j in self.learned:
                m, s = self.learned[j].predict(rows[open_])
            else:  # nothing was learned: the middle of the bounds, or of what was seen
                m, s = np.full(open_.sum(), 0.5), np.full(open_.sum(), 0.3)
                if not np.isfinite(low[open_, j]).all():
                    m, s = m - 0.5 + self.values[:, j].mean(), s / 0.3 * (self.values[:, j].std() or 1.0)
            bounded = np.isfinite(low[open_, j]) & np.isfinite(high[open_, j])
            start, width = _scale(low[open_, j], high[open_, j])
            mean[open_, j] = start + width * np.where(bounded, np.clip(m, 0.0, 1.0), m)
            deviation[open_, j] = width * np.where(bounded, np.minimum(s, 0.5), s)
        return mean, deviation

    def gain(self, points: Sequence[Priced], reference: Array, seed: int) -> Array:
        mean, deviation = self.predict(points)
        gain = expected_improvement(mean, deviation, self.values, reference, seed)
        if self.chance is not None:
            chance, _ = self.chance.predict(self._rows(points))
            gain = gain * np.clip(chance, LEAST, 1.0)
        return gain

    def _process(self, rows: Array, values: Array, doubt: Array | None = None) -> GaussianProcess:
        return GaussianProcess(rows, values, self.ordered, len(self.costs), doubt)

    def _rows(self, points: Sequence[Priced]) -> Array:
        rows, low, high = stacked(points)
        return np.hstack([rows, (self._costs(low, high) - self.shift) / self.span])

    def _costs(self, low: Array, high: Array) -> Array:
        """Of what is known or bounded the logarithm, where it is positive; of bounds the middle."""
        low, high = low[:, self.costs], high[:, self.costs]
        middle = np.where(np.isfinite(low) & np.isfinite(high), low + (high - low) / 2, 0.0)
        return np.where(self.logs, np.log(np.maximum(middle, 1e-300)), middle)


def _share(values: Array, low: Array, high: Array) -> Array:
    """Of a bounded value its place between the bounds; of another the value."""
    start, width = _scale(low, high)
    return np.asarray((values - start) / np.maximum(width, 1e-300))


def _scale(low: Array, high: Array) -> tuple[Array, Array]:
    bounded = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(bounded, low, 0.0), np.where(bounded, high, 1.0)
    return low, high - low
