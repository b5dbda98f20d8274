"""The points that are looked at, each with its exact price, which is asked for once.

    base     a fixed sequence of random points, of which every turn sees a few hundred more (all points of a small space)
    around   neighbours and mutations of given points; the same ones for the same point, so that they are priced once

Which points a turn sees depends on the seed, the turn and the given points alone, never on what was looked at before: a search
that is resumed sees what an uninterrupted one would.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmspec.study.known_cost.structure import Array, Point, Structure

Bounds = tuple[float, float]
Known = Callable[[dict[str, Any]], Mapping[int, float | Bounds] | None]
SMALL = 4096  # a space of at most so many points is looked at whole


@dataclass(frozen=True, eq=False)
class Priced:
    """A point and all that is known of it."""

    point: Point
    key: Hashable  # equal for points that mean the same
    row: Array  # encoded
    low: (
        Array  # [objectives], less is better; equal to `high` where the value is exact, infinite where nothing is known
    )
    high: Array
    allowed: bool  # False where `known` gave None


class Pool:
    """Prices of one structure's points."""

    def __init__(
        self,
        structure: Structure,
        known: Known,
        signs: Sequence[int],
        seed: int,
        identity: Callable[[dict[str, Any]], Hashable] | None = None,
    ) -> None:
        """`signs`: -1 for an objective that is maximised, else 1."""
        self.structure, self.known, self.signs, self.seed, self.identity = structure, known, signs, seed, identity
        self._priced: dict[Hashable, Priced] = {}
        self._base: list[Priced] = []
        self._stream = np.random.default_rng([seed, 1])
        self._all = structure.points(SMALL)
        if self._all is not None:
            self._all = [self._all[i] for i in np.random.default_rng([seed, 0]).permutation(len(self._all))]

    def base(self, number: int) -> list[Priced]:
        """The first `number` of the sequence; repeats may be among them."""
        if self._all is not None:
            number = min(number, len(self._all))
            self._base += [self.price(point) for point in self._all[len(self._base) : number]]
        while len(self._base) < number:
            self._base.append(self.price(self.structure.draw(self._stream)))
        return self._base[:number]

    def around(self, points: Iterable[Mapping[str, Any]], mutations: int) -> list[Priced]:
        """All neighbours of each point, and some mutations of it."""
        found = []
        for point in points:
            key = repr(self.structure.key(point)).encode()
            own = int.from_bytes(hashlib.sha256(key).digest()[:8])
            generator = np.random.default_rng([self.seed, 2, own])
            found += [self.price(other) for other in self.structure.neighbours(point, generator)]
            found += [self.price(self.structure.mutate(point, generator)) for _ in range(mutations)]
        return found

    def price(self, point: Mapping[str, Any]) -> Priced:
        point = self.structure.complete(point)
        key = self.structure.key(point)
        if (found := self._priced.get(key)) is None:
            found = self._priced[key] = self._ask(point, key)
        return found

    def _ask(self, point: Point, key: Hashable) -> Priced:
        given = self.known(dict(point))
        low, high = np.full(len(self.signs), -np.inf), np.full(len(self.signs), np.inf)
        for index, value in (given or {}).items():
            if not 0 <= index < len(self.signs):
                raise ValueError(
                    f"`known` speaks of objective {index}; the study has {len(self.signs)}, counted from 0"
                )
            ends = value if isinstance(value, tuple) else (value, value)
            if not all(map(math.isfinite, ends)) or ends[0] > ends[1]:
                raise ValueError(f"`known` says {value!r} of objective {index}; a number or (low, high) is wanted")
            low[index], high[index] = sorted(self.signs[index] * end for end in ends)
        same = self.identity(dict(point)) if self.identity is not None and given is not None else key
        row = np.array(self.structure.encode(point), dtype=float)
        return Priced(point, same, row, low, high, given is not None)


def distinct(candidates: Iterable[Priced], known: Iterable[Hashable]) -> list[Priced]:
    """Those that are allowed and neither known nor said twice, in order."""
    seen = set(known)
    found = []
    for candidate in candidates:
        if candidate.allowed and candidate.key not in seen:
            seen.add(candidate.key)
            found.append(candidate)
    return found


def stacked(candidates: Sequence[Priced]) -> tuple[Array, Array, Array]:
    """(rows, low, high) as matrices."""
    return tuple(np.stack([getattr(c, name) for c in candidates]) for name in ("row", "low", "high"))  # type: ignore[return-value]


def logarithms(costs: Array) -> NDArray[np.float64]:
    """log(cost) where all are positive, else the cost; per column."""
    return np.where((costs > 0).all(axis=0), np.log(np.maximum(costs, 1e-300)), costs)
