"""`mmspec profile --measure` and `--calibrated`: what a model takes on this machine, beside what was predicted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mmspec.cli.ink import Ink

if TYPE_CHECKING:
    from mmspec.cost import Profile
    from mmspec.cost.roofline import Roofline
    from mmspec.ir import Graph
    from mmspec.measuring.estimate import Estimate
    from mmspec.measuring.measure import Measurement
    from mmspec.spec import ModelSpec

Function = TypeVar("Function", bound=Callable[..., Any])
SHOWN = 8  # operations of a calibrated estimate

OPTIONS = (
    click.option("--measure", is_flag=True, help="build it, run it, and put that beside the prediction"),
    click.option(
        "--runtime", "runtimes", multiple=True, metavar="NAME", help="torch (by default), compile, onnx or all; may be repeated"
    ),
    click.option("--on", "place", default="cpu", show_default=True, metavar="cpu|cuda", help="where it is measured"),
    click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="of what is measured"),
    click.option(
        "--seconds", default=10.0, show_default=True, type=click.FloatRange(0, 3600, min_open=True), help="to measure for"
    ),
    click.option("--calibrated", is_flag=True, help="an estimate from what each of its operations takes on this machine"),
    click.option(
        "--calibration", metavar="FILE", help="operations that were measured elsewhere, instead of this machine's"
    ),
)  # fmt: skip


def measuring(function: Function) -> Function:
    """The options above, as one argument `measuring` of the command."""

    def called(
        *args: Any, measure: bool, runtimes: tuple[str, ...], place: str, threads: int, seconds: float, calibrated: bool,
        calibration: str | None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        asked = Asked(measure, runtimes, place, threads, seconds, calibrated or calibration is not None, calibration)
        return function(*args, measuring=asked, **kwargs)

    called.__doc__ = function.__doc__
    called.__click_params__ = list(getattr(function, "__click_params__", []))  # type: ignore[attr-defined]
    for option in reversed(OPTIONS):
        called = option(called)
    return called  # type: ignore[return-value]


@dataclass(frozen=True)
class Asked:
    """What was asked to be measured."""

    measure: bool
    runtimes: tuple[str, ...]
    place: str
    threads: int
    seconds: float
    calibrated: bool
    calibration: str | None

    def answer(self, spec: ModelSpec, graph: Graph, price: Profile, roofline: Roofline | None = None) -> Answer | None:
        """Measure; None where nothing was asked. `roofline` is that of the device that was named; of this machine's own, where it
        is known, otherwise.   Raises UserError"""
        if not (self.measure or self.calibrated):
            if self.runtimes:
                raise click.UsageError("--runtime says what is measured; it needs --measure")
            return None
        from mmspec.cli.progress import steps

        with steps() as say:
            estimate = self._estimate(graph, price, say) if self.calibrated else None
            roofline = roofline or own_roofline(spec, graph, price, self.threads)
            if not self.measure:
                return Answer(None, estimate, roofline)
            from mmspec.measuring.measure import measure

            least = roofline.whole.least if roofline is not None else None
            found = measure(
                spec, graph, price, self.runtimes or ("torch",), self.place, self.threads, self.seconds, least, estimate, say
            )  # fmt: skip
        return Answer(found, estimate, roofline)

    def _estimate(self, graph: Graph, price: Profile, say: Callable[[str], None]) -> Estimate:
        from mmspec.cost import Sizes
        from mmspec.cost.budgets import with_costs
        from mmspec.measuring.calibration import calibrate, calibration_here, read_calibration
        from mmspec.measuring.estimate import estimated

        priced, sizes = with_costs(graph), Sizes(price.sizes)
        if self.calibration is not None:
            return estimated(priced, sizes, read_calibration(self.calibration))
        known = calibration_here(self.threads)
        say("measure its operations")
        if number := calibrate(priced, sizes, known, self.seconds / 2):
            known.save()
        return estimated(priced, sizes, known, number)


def own_roofline(spec: ModelSpec, graph: Graph, price: Profile, threads: int) -> Roofline | None:
    """Of this machine, where `mmspec calibrate-device` has measured it with so many threads."""
    from mmspec.cost import Sizes
    from mmspec.cost.devices import read_device
    from mmspec.cost.ledger import ledger
    from mmspec.cost.roofline import roofline

    if not (path := device_file(threads)).is_file():
        return None
    sizes = Sizes(price.sizes)
    return roofline(ledger(spec, graph, sizes), graph, sizes, read_device(str(path)), "fp32")


def device_file(threads: int) -> Path:
    """Where this machine's own figures are kept."""
    from mmspec.measuring.machine import cache_folder, this_machine

    return cache_folder() / "devices" / f"{this_machine(threads).name}.yaml"


@dataclass(frozen=True)
class Answer:
    measurement: Measurement | None
    estimate: Estimate | None
    roofline: Roofline | None

    def to_dict(self) -> dict[str, Any]:
        """For the profile's JSON; what was not asked for is not in it."""
        found: dict[str, Any] = {}
        if self.measurement is not None:
            found["measured"] = self.measurement.to_dict()
        if self.estimate is not None:
            found["calibrated"] = self.estimate.to_dict()
        return found

    def lines(self, ink: Ink) -> list[str]:
        text: list[str] = []
        if self.measurement is not None:
            text += ["", *_measured(self.measurement, self.estimate, self.roofline, ink)]
        if self.estimate is not None:
            text += ["", *_estimated(self.estimate, ink)]
        if self.roofline is not None and self.roofline.device.machine is not None:
            from mmspec.measuring.machine import foreign

            if said := foreign(self.roofline.device.machine):
                text += ink.wrapped(f"the device {self.roofline.device.name} was {said}", "warning:")
        return text


def _measured(found: Measurement, estimate: Estimate | None, roofline: Roofline | None, ink: Ink) -> list[str]:
    from mmspec.cli.table import Column, lines
    from mmspec.measuring.runtimes import TITLES
    from mmspec.measuring.times import duration

    columns = [
        Column("measured"),
        *(Column(title, right=True) for title in ("time", "at best", "spread", "runs", "made in")),
    ]
    rows = []
    for name, times in found.times.items():
        best = "" if times.unsteady else duration(times.minimum)
        spread = "" if times.spread is None else f"{times.spread:.1%}"
        made = duration(found.prepared[name]) if name in found.prepared else ""
        rows.append([TITLES[name], times.said, best, spread, f"{len(times.seconds):,}", made])
    rows += [[TITLES[name], "n/a", "", "", "", ""] for name in found.missing]
    torch = found.times.get("torch")
    if estimate is not None:
        error = "" if torch is None else _beside(estimate.seconds, torch.minimum)
        rows.append(["predicted, calibrated", duration(estimate.typical), duration(estimate.seconds), error, "", ""])
    if roofline is not None:
        rows.append(["predicted, lower bound", "", duration(roofline.whole.least), "", "", ""])
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
    from mmspec.cli.table import Column, lines
    from mmspec.cost.quantities import share
    from mmspec.measuring.times import duration

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
    from mmspec.cost.quantities import quantity

    predicted, weights = found.predicted["activations"], found.predicted["weights"]
    assert predicted is not None and weights is not None
    if (held := found.memory.get("held")) is not None:
        said = f"memory: tensors hold {quantity(held, 'B')} beside the weights at the most, {quantity(predicted, 'B')} predicted"
        said += f" ({_beside(predicted, held)})" if held else ""
        if (grown := found.memory.get("process")) is not None:
            said += f"; the process grew by {quantity(grown, 'B')}"
        return ink.wrapped(said)
    allocated, reserved = found.memory["allocated"], found.memory["reserved"]
    assert allocated is not None and reserved is not None
    said = (
        f"memory: {quantity(allocated, 'B')} allocated at the most with the weights, {quantity(reserved, 'B')} reserved"
    )
    return ink.wrapped(f"{said}; {quantity(weights + predicted, 'B')} predicted")


def _estimated(found: Estimate, ink: Ink) -> list[str]:
    """The dearest operations, and what the estimate is worth."""
    from mmspec.cli.table import Column, lines
    from mmspec.cost.quantities import share
    from mmspec.measuring.estimate import ERROR
    from mmspec.measuring.times import duration

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
    if found.warning:
        text += ink.wrapped(f"the estimate is of that machine, not of this: {found.warning}", "warning:")
    return text


def _beside(predicted: float, measured: float) -> str:
    return f"{predicted / measured - 1:+.1%}"
