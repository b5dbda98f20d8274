"""What a device makes of a price, for a terminal: the least time, what holds it up, and what fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmspec.cli.ink import Ink
from mmspec.cli.table import Column
from mmspec.cli.table import lines as rows_as_lines
from mmspec.cost.fit import SLACK, Fit
from mmspec.cost.quantities import duration, quantity, share
from mmspec.cost.roofline import Bound, Roofline

if TYPE_CHECKING:
    from mmspec.cost import Profile
    from mmspec.spec import ModelSpec

COLUMNS = (
    Column("node"),
    Column("at least", right=True),
    Column("op by op", right=True, give=1),
    Column("share", right=True, give=2),
    Column("memory-bound", right=True, give=3),
)


def lines(spec: ModelSpec, price: Profile, ink: Ink) -> list[str]:
    """A title, a row for each node in the order of the data flow, and what the figures mean; of a price on a device."""
    assert price.on is not None
    roofline = price.on.roofline
    order = {node.name: i for i, node in enumerate(spec.nodes)}
    nodes = sorted(roofline.nodes, key=lambda node: order[node.name])
    rows = [_row(node.name, node, roofline.whole) for node in nodes]
    total = _row("all", roofline.whole, roofline.whole)
    what = f"{roofline.precision}, batch {roofline.batch:,}"
    title = f"{ink.bold(roofline.device.name)}   {ink.dim(what)}"
    exits = " with every exit" if any(node.exits for node in price.nodes) else ""
    remarks = [*_remarks(roofline, exits, ink), *fit_lines(price.on.fit, ink)]
    return [title, "", *rows_as_lines(COLUMNS, rows, ink, total), "", *remarks]


def _row(name: str, bound: Bound, whole: Bound) -> tuple[str, ...]:
    if bound.op_by_op is None or whole.op_by_op is None:
        return name, duration(bound.least), "n/a", "n/a", "n/a"
    part = share(bound.op_by_op, whole.op_by_op) if bound is not whole else ""
    return name, duration(bound.least), duration(bound.op_by_op), part, share(bound.memory_bound, bound.op_by_op)


def _remarks(roofline: Roofline, exits: str, ink: Ink) -> list[str]:
    device, whole = roofline.device, roofline.whole
    rate = roofline.samples_per_second
    most = f"no more than {quantity(rate)} samples/s" if rate != float("inf") else "no bound on samples/s"
    text = ink.wrapped(
        f"a lower bound, not a prediction: these operations take {duration(whole.least)} or more, {most}"
    )
    if roofline.unknown:
        return text + ink.wrapped(roofline.unknown, "note:")
    cache = "" if device.cache is None else f" beyond what a cache of {quantity(device.cache, 'B')} may hold"
    text += ink.wrapped(
        f"products {duration(whole.compute or 0.0)}; weights, inputs and outputs{cache} {duration(whole.memory)}; "
        f"the roof's ridge is at {device.ridge(roofline.precision):,.0f} FLOPs per byte"
    )
    if (step := roofline.step) is not None:
        rate = roofline.batch / step.least if step.least else 0.0
        text += ink.wrapped(
            f"writing, a token for each sample at this length: {duration(step.least)} or more, no more than {quantity(rate)} "
            "tokens/s (weights and what is kept of the tokens before are read for it)"
        )
    if (step := roofline.training) is not None:
        text += ink.wrapped(f"a training step, without what its optimizer keeps: {duration(step.least)} or more")
    return text + ink.wrapped(
        "op by op: every operation reads its inputs from memory and writes its outputs there; fusion and caches save some"
    )


def fit_lines(fit: Fit, ink: Ink) -> list[str]:
    of = (
        f"{quantity(fit.device.memory, 'B')}, {quantity(fit.held, 'B')} held back and {100 * SLACK:.0f} % for what an "
        "allocator reserves over it"
    )
    most = f"the largest batch is {fit.largest:,}" if fit.largest else "not even one sample does"
    says = "fits" if fit.fits else "does not fit"
    text = ink.wrapped(
        f"{says}: {quantity(fit.needed, 'B')} are needed, {quantity(fit.allowed, 'B')} allowed ({of}); {most}"
    )
    if (step := fit.training) is not None:
        most = f"the largest batch is {step.largest:,}" if step.largest else "not even one sample does"
        says = "fits" if step.fits else "does not fit"
        text += ink.wrapped(
            f"a training step ({step.precision}) {says}: {quantity(step.needed, 'B')} are needed; {most}"
        )
    return text
