"""Times that were measured, and what may be said of them. Imports no torch.

A time is said where its runs agree: at least five of them, and the middle half of them within a tenth of the median. Otherwise
the range is said, and that it is unsteady.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from mmspec.cost.quantities import duration

LEAST_RUNS = 5
WIDEST = 0.1  # (third quartile - first quartile) / median
QUICK = 0.05  # seconds
TURN = 4


@dataclass(frozen=True)
class Times:
    """Seconds of each run, in the order in which they were measured."""

    seconds: tuple[float, ...]

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        first, _, third = quantiles(self.seconds, n=4, method="inclusive")
        return first, third

    @property
    def spread(self) -> float | None:
        """How wide the middle half is, as a share of the median; None of a single run."""
        if len(self.seconds) < 2:
            return None
        first, third = self.quartiles
        return (third - first) / self.median

    @property
    def unsteady(self) -> str:
        """Why no single time may be said; empty where one may."""
        if len(self.seconds) < LEAST_RUNS:
            return f"{len(self.seconds)} run{'s' if len(self.seconds) > 1 else ''}"
        spread = self.spread
        assert spread is not None
        return f"the middle half of the runs spreads over {spread:.0%} of the median" if spread > WIDEST else ""

    @property
    def said(self) -> str:
        """12.3 ms, or 12.1 to 19.8 ms: nine of ten runs, where they are so many."""
        if not self.unsteady:
            return duration(self.median)
        ordered = sorted(self.seconds)
        return span(ordered[0], ordered[-1 - len(ordered) // 10])

    def to_dict(self) -> dict[str, Any]:
        first, third = self.quartiles
        return {
            "runs": len(self.seconds), "minimum_ms": 1e3 * self.minimum, "median_ms": 1e3 * self.median,
            "first_quartile_ms": 1e3 * first, "third_quartile_ms": 1e3 * third, "maximum_ms": 1e3 * max(self.seconds),
            "spread": self.spread, "steady": not self.unsteady,
        }  # fmt: skip


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    seconds: float,
    most: int = 1000,
    wait: Callable[[], None] = lambda: None,
    clock: Callable[[], float] | None = None,
) -> dict[str, Times]:
    """Time several functions by turns, so that what else happens on the machine happens to all of them, until `seconds` are over:
    at least once each, at most `most` times. `wait` returns when what was started is done; `clock` is the wall's if not said.

    A quick function runs several times in its turn, the first one untimed: the others have left the caches to it.
    """
    now = clock or time.perf_counter
    found: dict[str, list[float]] = {name: [] for name in runs}
    end = now() + seconds
    while True:
        for name, run in runs.items():
            quick = bool(found[name]) and found[name][-1] < QUICK
            if quick and len(runs) > 1:
                run()
            for _ in range(TURN if quick else 1):
                wait()
                start = now()
                run()
                wait()
                found[name].append(now() - start)
        if min(map(len, found.values())) >= most or now() >= end:
            return {name: Times(tuple(times)) for name, times in found.items()}


def span(low: float, high: float) -> str:
    """12.1 to 19.8 ms; one time where both are the same."""
    texts = duration(low), duration(high)
    if texts[0] == texts[1]:
        return texts[0]
    (number, unit), (_, other) = (text.split() for text in texts)
    return f"{number} to {texts[1]}" if unit == other else f"{texts[0]} to {texts[1]}"
