"""What a training step holds, as the table below a price: what is there throughout, and what is alive at its worst moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmspec.cli.ink import Ink
from mmspec.cli.table import Column, lines
from mmspec.cost.quantities import quantity, share
from mmspec.cost.step import WHAT

if TYPE_CHECKING:
    from mmspec.cost.step import Step
    from mmspec.cost.training import Memory

COLUMNS = (
    Column("at the peak"),
    Column("bytes", right=True),
    Column("share", right=True),
    Column("of", give=1, dim=True),
)
SHOWN = 4  # places of the model that are named in a row


def training_lines(memory: Memory, step: Step, ink: Ink) -> Iterator[str]:
    """A row for each sort of what is held, with the places that hold most of it."""
    yield ""
    if memory.peak is None:
        yield from ink.wrapped(f"memory of a training step: unknown, no rule for {', '.join(memory.unknown)}")
        return
    sorts: dict[str, dict[str, int]] = {}
    for held in memory.alive:
        sort = sorts.setdefault(WHAT[held.what], {})
        sort[held.path] = sort.get(held.path, 0) + held.bytes
    rows = []
    for what, places in sorted(sorts.items(), key=lambda item: -sum(item[1].values())):
        size = sum(places.values())
        largest = sorted(places.items(), key=lambda item: -item[1])[:SHOWN] if what in _LOCAL else []
        named = ", ".join(f"{path or 'the losses'} {quantity(part, 'B')}" for path, part in largest)
        rows.append((what, quantity(size, "B"), share(size, memory.peak), named))
    yield from lines(COLUMNS, rows, ink, ("together", quantity(memory.peak, "B"), "", ""))
    yield ""
    at = memory.at
    assert at is not None
    where = {"forward": "the forward of", "backward": "the backward of", "recomputation": "the recomputation of"}
    place = (
        f"{where[at.phase]} {at.path or 'the losses'} ({at.kind})" if at.phase in where else f"the step of {at.kind}"
    )
    yield from ink.wrapped(
        f"a training step ({said(step)}) holds most in {place}; kept by the forward: {_kept(memory)}"
    )
    card = memory.cuda
    yield from ink.wrapped(
        f"with CUDA's allocator, simulated: {quantity(card.allocated, 'B')} allocated, {quantity(card.reserved, 'B')} reserved; "
        "not verified on a GPU"
    )


_LOCAL = {WHAT[phase] for phase in ("forward", "recomputation", "backward")}


def said(step: Step) -> str:
    """adamw, bf16-autocast, blocks recomputed"""
    words = [step.optimizer, step.precision]
    words += ["master weights"] if step.master else []
    words += ["blocks recomputed"] if step.checkpoint else []
    words += ["attention materialised"] if step.attention == "materialised" else []
    return ", ".join(words)


def _kept(memory: Memory) -> str:
    assert memory.saved is not None
    return quantity(memory.saved, "B")
