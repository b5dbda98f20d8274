"""What was measured, for a terminal: runtimes, nodes and memory, each beside its prediction; the operations of an estimate."""

from __future__ import annotations

import math

from mmspec.cli.ink import Ink
from mmspec.cli.table import Column, lines
from mmspec.cost.quantities import duration, quantity, share
from mmspec.cost.roofline import Roofline
from mmspec.measuring.estimate import ERROR, Estimate
from mmspec.measuring.measure import Measurement
from mmspec.measuring.runtimes import TITLES
from mmspec.measuring.times import WIDEST

SHOWN = 8  # operations of a calibrated estimate
BUSY = 0.25  # of its time, in operations that varied; small ones always do


def measurement_lines(found: Measurement, estimate: Estimate | None, roofline: Roofline | None, ink: Ink) -> list[str]:
    torch = found.times.get("torch")

    def beside(seconds: float) -> str:
        return "" if torch is None or torch.unsteady else f"{seconds / torch.minimum - 1:+.1%}"

    titles = ("time", "at best", "beside torch", "spread", "runs", "made in")
    columns = [Column("measured"), *(Column(title, right=True) for title in titles)]
    rows = []
    for name, times in found.times.items():
        best = (
            ("", "") if times.unsteady else (duration(times.minimum), beside(times.minimum) if name != "torch" else "")
        )
        spread = "" if times.spread is None else f"{times.spread:.1%}"
        made = duration(found.prepared[name]) if name in found.prepared else ""
        rows.append([TITLES[name], times.said, *best, spread, f"{len(times.seconds):,}", made])
    rows += [[TITLES[name], "n/a", "", "", "", "", ""] for name in found.missing]
    if estimate is not None:
        times_said = duration(estimate.typical), duration(estimate.seconds), beside(estimate.seconds)
        rows.append(["predicted, calibrated", *times_said, "", "", ""])
    if roofline is not None:
        where, least = f"{roofline.device.name}, {roofline.precision}", roofline.whole.least
        rows.append([f"lower bound, {where}", "", duration(least), beside(least), "", "", ""])
    place = found.machine.get("gpu") or f"{found.machine['cpu']}, threads: {found.machine['threads']}"
    text = ink.wrapped(f"measured on {place}, torch {found.machine['torch']}", "")
    text += ["", *lines(columns, rows, ink), ""]
    text += [*_nodes(found, estimate, ink), *_memory(found, ink)]
    for name, times in found.times.items():
        if times.unsteady:
            text += ink.wrapped(
                f"{TITLES[name]} is unsteady ({times.unsteady}): its range is given, not a time", "note:"
            )
    for name, why in found.missing.items():
        text += ink.wrapped(f"{TITLES[name]}: {why}", "note:")
    differences = [(name, value) for name, value in found.differences.items() if value is not None]
    if differences:
        said = ", ".join(f"{TITLES[name]} {value:.0e}" for name, value in differences)
        text += ink.wrapped(f"outputs differ from torch's by at most: {said}")
    if roofline is None:
        text += ink.wrapped("no lower bound beside it: `mmspec calibrate-device` measures what this machine can do")
    for note in found.notes:
        text += ink.wrapped(note)
    return text


def _nodes(found: Measurement, estimate: Estimate | None, ink: Ink) -> list[str]:
    """Where times are unsteady, shares alone."""
    nodes, torch = found.nodes, found.times.get("torch")
    if nodes is None or torch is None:
        return []
    titles = ["time", "share", *(["calibrated"] if estimate is not None else [])]
    columns = [Column("node"), *(Column(title, right=True) for title in titles)]

    def row(name: str, seconds: float, predicted: str) -> list[str]:
        cells = [name, "" if torch.unsteady else duration(seconds), share(seconds, nodes.total), predicted]
        return cells[: len(columns)]

    rows = []
    for name, seconds in nodes.nodes.items():
        known = estimate is not None and name in estimate.nodes
        rows.append(row(name, seconds, duration(estimate.nodes[name]) if known and estimate is not None else ""))
    rows.append(row("between nodes", nodes.between, ""))
    total = row("fastest run", nodes.total, duration(estimate.seconds) if estimate is not None else "")
    text = [*lines(columns, rows, ink, total), ""]
    assert found.overhead is not None
    return [*text, *ink.wrapped(f"the clocks at the nodes take {found.overhead:+.1%} of the fastest run without them")]


def _memory(found: Measurement, ink: Ink) -> list[str]:
    predicted, weights = found.predicted["activations"], found.predicted["weights"]
    if (held := found.memory.get("held")) is not None:
        told = "n/a" if predicted is None else quantity(predicted, "B")
        said = f"memory: tensors hold {quantity(held, 'B')} beside the weights at the most, {told} predicted"
        said += f" ({predicted / held - 1:+.1%})" if held and predicted is not None else ""
        if (grown := found.memory.get("process")) is not None:
            said += f"; the process grew by {quantity(grown, 'B')}, with what torch loads at a first run"
        return ink.wrapped(said)
    allocated, reserved = found.memory["allocated"], found.memory["reserved"]
    assert allocated is not None and reserved is not None
    told = "n/a" if predicted is None or weights is None else quantity(weights + predicted, "B")
    said = (
        f"memory: {quantity(allocated, 'B')} allocated at the most with the weights, {quantity(reserved, 'B')} reserved"
    )
    return ink.wrapped(f"{said}; {told} predicted")


def estimate_lines(found: Estimate, ink: Ink) -> list[str]:
    """The dearest operations, and what the estimate is worth."""
    columns = [
        Column("operation"),
        Column("node", dim=True),
        *(Column(t, right=True) for t in ("runs", "each", "all", "share")),
    ]
    rows = [
        [
            line.label,
            line.node,
            f"{line.times:,}",
            duration(line.minimum),
            duration(line.total),
            share(line.total, found.seconds),
        ]
        for line in found.lines[:SHOWN]
    ]
    if rest := found.lines[SHOWN:]:
        total, runs = math.fsum(line.total for line in rest), sum(line.times for line in rest)
        rows.append([f"{len(rest)} others", "", f"{runs:,}", "", duration(total), share(total, found.seconds)])
    text = [*lines(columns, rows, ink), ""]
    threads = found.machine["threads"]
    text += ink.wrapped(
        f"calibrated estimate: {duration(found.seconds)} at best, {duration(found.typical)} typically, in torch with "
        f"{threads} thread{'s' if threads != 1 else ''}; the sum of what {found.measured + found.known} different operations take "
        f"by themselves ({found.measured} measured now), within {ERROR:.0%} of the best run on a quiet machine"
    )
    if found.unsteady_share > BUSY:
        part = f"operations that take {found.unsteady_share:.0%} of it varied by more than {WIDEST:.0%} when they were measured"
        text += ink.wrapped(f"{part}: the machine was busy; --again measures them anew", "note:")
    if found.warning:
        text += ink.wrapped(f"the estimate is of that machine, not of this: {found.warning}", "warning:")
    return text
