"""Bytes of one training step: forward, losses, backward, optimizer, in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mmspec.cost.allocator import Event, Reserved, simulate
from mmspec.cost.budgets import with_costs
from mmspec.cost.flops import Sizes
from mmspec.cost.optimizers import OPTIMIZERS
from mmspec.cost.rehearsal import (
    BF16,
    F32,
    Meter,
    Model,
    NoRule,
    Place,
    Tensor,
    backward,
    examples,
    outputs_of,
    rehearsing,
)
from mmspec.cost.rehearsal.state import STATE, enter, set_for_a_while
from mmspec.cost.step import HALF, Step
from mmspec.cost.timeline import Moment
from mmspec.cost.work import NOTHING, Work
from mmspec.ir import Graph


@dataclass(frozen=True)
class Held:
    """Bytes that are held at the peak for one operation of the model, and what for."""

    path: str
    kind: str
    what: str  # "weights", "buffers", "states", "master", "inputs", "gradients", "forward" (saved), "backward", ...
    bytes: int


@dataclass(frozen=True)
class Memory:
    """Bytes of a training step. `peak` is the most that is held at once, `at` where that is; `alive` what is held there, the
    largest first. Weights, buffers, states, master copies and inputs are there throughout; gradients from when they are computed
    to the end; `saved` is what operations have kept when the forward ends.

    update   what the optimizer computes and moves
    unknown  operations of which no rule says what they hold; then `peak` and `saved` are None
    """

    weights: int
    buffers: int
    states: int
    master: int
    inputs: int
    gradients: int
    saved: int | None
    peak: int | None
    at: Place | None
    alive: tuple[Held, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    update: Work = NOTHING
    meter: Meter = field(default_factory=Meter, repr=False, compare=False)

    @cached_property
    def cuda(self) -> Reserved:
        """What CUDA's caching allocator would make of the step: simulated on what a processor's kernels hold."""
        return simulate(Event(number, size) for number, size in self.meter.events())

    @cached_property
    def course(self) -> tuple[Moment, ...]:
        """Memory over time, from the first operation of the forward to the optimizer's step."""
        there = ("weights", "buffers", "states", "master", "inputs")
        moments = (Moment(place.path, place.kind, size, place.phase) for place, size in self.meter.course())
        return tuple(moment for moment in moments if moment.phase not in there)

    @property
    def always(self) -> int:
        """What is there before the step, and after it."""
        return self.weights + self.buffers + self.states + self.master + self.inputs

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "weights": self.weights, "buffers": self.buffers, "states": self.states, "master": self.master,
            "inputs": self.inputs, "gradients": self.gradients, "saved": self.saved, "peak": self.peak,
            "at": None if self.at is None else self.at._asdict(),
            "alive": [vars(held) for held in self.alive],
            "update": {name: self.update.to_dict()[name] for name in ("pointwise", "read", "written")},
            "cuda": None if self.peak is None else {**vars(self.cuda), "verified": False},
            "unknown": list(self.unknown), "notes": list(self.notes),
        }  # fmt: skip


def modes(step: Step) -> dict[str, Any]:
    """Of a rehearsal."""
    return {
        "weights": BF16 if step.precision in HALF else F32,
        "materialised": step.attention == "materialised",
        "autocast": None,
        "casts": None,
        "gradients": True,
    }


@dataclass
class _Rehearsal:
    """What is measured on the way."""

    meter: Meter = field(default_factory=Meter)
    totals: dict[str, int] = field(default_factory=dict)

    def since(self, name: str, before: int) -> int:
        self.totals[name] = self.meter.now - before
        return self.meter.now


def step_memory(
    graph: Graph, losses: Graph | None, sizes: Mapping[str, int], step: Step, watched: bool = False
) -> Memory:
    """What a training step holds.

    graph    the model, in training
    losses   from its outputs and the targets to `total`; without, the sum of its outputs stands for a loss
    sizes    of the symbols: the batch and lengths
    watched  as torch does it under a dispatch mode or with fake tensors, where sums of gradients are not made in place
    """
    run, graph = _Rehearsal(), with_costs(graph)
    with rehearsing(run.meter, watched=watched, training=True, **modes(step)):
        model = Model(graph, step.checkpoint)
        always = _always(model, run, step)
        inputs = examples(graph.inputs, Sizes(sizes), "inputs")
        targets = _targets(graph, losses, sizes)
        before = run.since("inputs", always)
        try:
            with set_for_a_while(phase="forward"):
                loss = _loss(model, losses, inputs, targets, step)
            run.since("saved", before)
            if loss is not None and loss.node is not None:  # something is trained
                backward(loss)
        except NoRule as missing:
            said = f"{missing.kind} ({missing.what})" if missing.kind else missing.what
            return Memory(
                **_throughout(run, model), saved=None, peak=None, at=None, unknown=(said,), notes=_notes(losses)
            )
        trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
        enter("", step.optimizer, "optimizer")
        width = 4 if step.master else STATE.weights.bytes
        optimizer, numbers = OPTIMIZERS[step.optimizer], [parameter.numel() for parameter in trained]
        run.meter.touch(optimizer.temporaries(numbers, width), STATE.place)
        meter = run.meter
        held = _grouped(meter.alive_at_peak())
        memory = Memory(
            **_throughout(run, model),
            saved=run.totals["saved"],
            peak=meter.peak,
            at=meter.at,
            alive=held,
            notes=_notes(losses),
            update=optimizer.update(numbers, width),
            meter=meter,
        )
    return memory


def _always(model: Model, run: _Rehearsal, step: Step) -> int:
    """Optimizer states and master copies, beside the weights; what is held then."""
    weights = sum(parameter.bytes for parameter in model.parameters())
    run.totals["weights"], run.totals["buffers"] = weights, run.meter.now - weights
    optimizer = OPTIMIZERS[step.optimizer]
    before = run.meter.now
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.home is not None and step.master:
            run.meter.take(4 * parameter.numel(), parameter.home._replace(phase="master"))
    between = run.since("master", before)
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.home is not None:
            width = 4 if step.master else parameter.dtype.bytes
            run.meter.take(optimizer.state(parameter.numel(), width), parameter.home._replace(phase="states"))
    return run.since("states", between)


def _targets(graph: Graph, losses: Graph | None, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """What the losses read that the model does not answer."""
    if losses is None:
        return {}
    return examples([value for value in losses.inputs if value.name not in graph.outputs], Sizes(sizes), "inputs")


def _loss(model: Model, losses: Graph | None, inputs: Any, targets: Any, step: Step) -> Tensor | None:
    lower = step.precision == "bf16-autocast"
    with set_for_a_while(autocast=BF16 if lower else None, casts={} if lower else None):
        outputs = outputs_of(model, inputs)
        if losses is None:
            total: Any = None
            for value in outputs.values():
                if value.dtype.floating:
                    total = value.sum() if total is None else total + value.sum()
            return total  # type: ignore[no-any-return]
        given = {**outputs, **targets}
        results = Model(losses)(*(given[value.name] for value in losses.inputs))
        del outputs, given
        named = zip(losses.outputs, results if isinstance(results, tuple) else (results,), strict=True)
        return next(loss for name, loss in named if name == "total")  # type: ignore[no-any-return]


def _throughout(run: _Rehearsal, model: Model) -> dict[str, Any]:
    gradients = sum(parameter.bytes for parameter in model.parameters() if parameter.requires_grad)
    return {name: run.totals[name] for name in ("weights", "buffers", "states", "master", "inputs")} | {
        "gradients": gradients
    }


def _notes(losses: Graph | None) -> tuple[str, ...]:
    return () if losses is not None else ("the spec has no objectives: the sum of its outputs stands for a loss",)


def _grouped(alive: list[tuple[Place, int]]) -> tuple[Held, ...]:
    total: dict[Place, int] = {}
    for place, size in alive:
        total[place] = total.get(place, 0) + size
    return tuple(
        Held(place.path, place.kind, place.phase, size)
        for place, size in sorted(total.items(), key=lambda item: (-item[1], item[0]))
    )
