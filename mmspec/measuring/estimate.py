"""How long a model takes by what its operations take: the sum over the schedule, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmspec.cost import Sizes
from mmspec.errors import UserError
from mmspec.ir import Graph
from mmspec.measuring.calibration import Calibration, keys_of
from mmspec.measuring.machine import foreign
from mmspec.measuring.schedule import schedule
from mmspec.measuring.times import WIDEST

ERROR = 0.1  # of the minimum; benchmarks/latency.py holds it


@dataclass(frozen=True)
class Line:
    """One of the different operations: how often it runs, and seconds of one run. `steady`: its runs agreed."""

    label: str
    times: int
    minimum: float
    median: float
    node: str
    steady: bool = True

    @property
    def total(self) -> float:
        return self.times * self.minimum


@dataclass(frozen=True)
class Estimate:
    """Seconds of a pass at its fastest; `typical` is the same from the medians. `nodes` by name, "" what is done to inputs.

    lines     of each node its different operations, the dearest first
    measured  how many of them had to be measured for this, `known` how many were known
    machine   where they were measured; `warning` where that is another than this
    """

    seconds: float
    typical: float
    nodes: dict[str, float]
    lines: tuple[Line, ...]
    measured: int
    known: int
    machine: dict[str, Any]
    warning: str = ""

    @property
    def unsteady_share(self) -> float:
        """Of the time, what is taken by operations whose runs did not agree when they were measured."""
        return sum(line.total for line in self.lines if not line.steady) / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "minimum_ms": 1e3 * self.seconds, "typical_ms": 1e3 * self.typical, "error": ERROR,
            "unsteady_share": self.unsteady_share,
            "nodes": {name: 1e3 * seconds for name, seconds in self.nodes.items()},
            "operations": [
                {"operation": line.label, "node": line.node, "times": line.times, "minimum_ms": 1e3 * line.minimum,
                 "median_ms": 1e3 * line.median}
                for line in self.lines
            ],
            "measured": self.measured, "known": self.known, "machine": self.machine, "warning": self.warning or None,
        }  # fmt: skip


def estimated(graph: Graph, sizes: Sizes, calibration: Calibration, measured: int = 0) -> Estimate:
    """From what is known.   Raises UserError: an operation is not in the calibration"""
    steps = list(schedule(graph, sizes))
    names = keys_of(graph, steps)
    if missing := sorted({step.label for step in steps if names[step.key] not in calibration.operations}):
        more = f" and {len(missing) - 1} more operations" if len(missing) > 1 else ""
        raise UserError(f"{calibration.path} does not know {missing[0]}{more}: measure there")
    times: dict[tuple[str, str], int] = {}
    for step in steps:
        times[step.node, step.key] = times.get((step.node, step.key), 0) + step.times
    lines = []
    for (node, key), number in times.items():
        taken = calibration.operations[names[key]]
        steady = taken.spread is not None and taken.spread <= WIDEST
        lines.append(Line(taken.label, number, taken.minimum, taken.median, node, steady))
    nodes: dict[str, float] = {}
    for line in lines:
        nodes[line.node] = nodes.get(line.node, 0.0) + line.total
    return Estimate(
        sum(nodes.values()), sum(line.times * line.median for line in lines), nodes, _dearest(lines), measured,
        len(names) - measured, dict(calibration.machine), foreign(calibration.machine),
    )  # fmt: skip


def _dearest(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(sorted(lines, key=lambda line: -line.total))
