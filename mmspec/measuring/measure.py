"""A model, run: in each runtime, node by node, with the most memory that it takes, beside what was predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mmspec.backend import build
from mmspec.cost import Profile, Sizes
from mmspec.cost.budgets import with_costs
from mmspec.errors import UserError
from mmspec.ir import Graph
from mmspec.measuring.calibration import threads_of
from mmspec.measuring.estimate import Estimate
from mmspec.measuring.examples import inputs_of
from mmspec.measuring.held import cuda_bytes, held_bytes, process_growth
from mmspec.measuring.machine import this_machine
from mmspec.measuring.nodes import NodeClock, NodeTimes, nodes_of
from mmspec.measuring.operations import go_on
from mmspec.measuring.room import check_room
from mmspec.measuring.runtimes import RUNTIMES, TITLES, Missing, Ready, compiled, eager, exported, served
from mmspec.measuring.times import Times, interleaved
from mmspec.spec import ModelSpec
from mmspec.spec.diagnostics import did_you_mean

SCHEMA = 1
ALL = "all"
COPIES = {"serving": 2, "onnx": 5}  # of the weights: the file, its bytes and what ONNX Runtime makes of them, too
NODES = "nodes"  # torch once more, with clocks
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Measurement:
    """What was measured.

    times      by runtime; `missing` says of the others why they could not be had
    prepared   seconds that went into making each runtime ready; `differences` the largest of its outputs from torch's
    nodes      in torch: the fastest run with clocks in it, which is `overhead` slower than the fastest without
    memory     bytes: `held` by tensors beside weights and inputs, `process` growth; on CUDA, with the weights, `allocated` and
               `reserved`
    predicted  bytes of activations and weights; seconds of the roofline and of the calibrated estimate, where they are known
    """

    machine: Mapping[str, Any]
    device: str
    sizes: Mapping[str, int]
    times: Mapping[str, Times]
    nodes: NodeTimes | None
    memory: Mapping[str, int | None]
    predicted: Mapping[str, float | None]
    missing: Mapping[str, str] = field(default_factory=dict)
    prepared: Mapping[str, float] = field(default_factory=dict)
    differences: Mapping[str, float | None] = field(default_factory=dict)
    estimate: Estimate | None = None
    notes: tuple[str, ...] = ()

    @property
    def overhead(self) -> float | None:
        """Of the clocks between nodes, as a share of the fastest run without them."""
        if self.nodes is None or "torch" not in self.times:
            return None
        return self.nodes.total / self.times["torch"].minimum - 1

    def to_dict(self) -> dict[str, Any]:
        nodes = self.nodes
        return {
            "schema": SCHEMA, "machine": dict(self.machine), "device": self.device, "sizes": dict(self.sizes),
            "runtimes": {
                name: {**times.to_dict(), "prepared_s": self.prepared.get(name), "difference": self.differences.get(name)}
                for name, times in self.times.items()
            },
            "missing": dict(self.missing),
            "nodes": None if nodes is None else {
                "ms": {name: 1e3 * seconds for name, seconds in nodes.nodes.items()},
                "between_ms": 1e3 * nodes.between, "total_ms": 1e3 * nodes.total, "overhead": self.overhead,
            },
            "memory": dict(self.memory),
            "predicted": dict(self.predicted),
            "calibrated": None if self.estimate is None else self.estimate.to_dict(),
            "notes": list(self.notes),
        }  # fmt: skip


def runtimes_of(said: Sequence[str]) -> tuple[str, ...]:
    """`all` of them, or those that were named.   Raises UserError: one that there is not"""
    for name in said:
        if name not in (*RUNTIMES, ALL):
            hint = did_you_mean(name, (*RUNTIMES, ALL)) or f"; there are {', '.join(RUNTIMES)} and {ALL}"
            raise UserError(f"there is no runtime {name!r}{hint}")
    return RUNTIMES if ALL in said else tuple(dict.fromkeys(said)) or ("torch",)


def check_device(name: str) -> None:
    """Raise UserError where the device to run on is not here."""
    if name not in ("cpu", "cuda"):
        raise UserError(f"a model is measured on cpu or cuda, not on {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        built = "this torch was built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        raise UserError(f"there is nothing to measure on cuda: {built}")


def check(spec: ModelSpec, price: Profile, runtimes: Sequence[str], device: str) -> tuple[str, ...]:
    """The runtimes that are asked for, if the model can be measured in them.

    Raises   UserError: no such runtime or device; more than fits into memory
    """
    asked = runtimes_of(runtimes)
    check_device(device)
    what = f"measuring {spec.name}"
    weights, activations = int(price["memory.weights"] or 0), int(price["memory.activations"] or 0)
    if device == "cuda":
        check_room(weights, activations, what, torch.cuda.mem_get_info()[0])
    else:
        copies = max((COPIES.get(name, 1) for name in asked), default=1)
        check_room(weights * copies, activations, what)
    return asked


def measure(
    spec: ModelSpec,
    graph: Graph,
    price: Profile,
    runtimes: Sequence[str] = ("torch",),
    device: str = "cpu",
    threads: int = 1,
    seconds: float = 10.0,
    roofline: float | None = None,
    estimate: Estimate | None = None,
    progress: Progress = lambda text: None,
) -> Measurement:
    """Build and run the model of a spec at the sizes of its profile, every sample going on to the last exit.

    seconds   for the runs of all runtimes together
    roofline, estimate   predictions that are put beside, seconds

    Raises   UserError: no such runtime or device; more than fits into memory
    """
    asked = check(spec, price, runtimes, device)
    weights, activations = price["memory.weights"], price["memory.activations"]
    on_cuda = device == "cuda"
    sizes = Sizes(price.sizes)
    with threads_of(threads):
        progress("build the model")
        torch.manual_seed(0)
        model = build(spec).eval().requires_grad_(False)
        go_on(model)
        inputs = {name: tensor.to(device) for name, tensor in inputs_of(with_costs(graph), sizes).items()}
        model.to(device)
        plain = eager(model, inputs)
        memory = _memory(model, inputs, plain, on_cuda)  # first of all: what a process has grown by it keeps
        expected = plain.run()
        ready, missing = _ready(asked, spec, model, inputs, plain, expected, threads, on_cuda, progress)
        wait = torch.cuda.synchronize if on_cuda else _nothing
        progress(f"run {', '.join(TITLES[each.name] for each in ready)}")
        runs = {each.name: each.run for each in ready}
        clock = NodeClock(model, nodes_of(graph), plain.run, wait)
        for run in runs.values():
            run()
        if "torch" in runs:
            runs[NODES] = clock
        times = interleaved(runs, seconds, wait=wait)
        times.pop(NODES, None)
    predicted = {
        "weights": weights, "activations": activations, "roofline_s": roofline,
        "calibrated_s": None if estimate is None else estimate.seconds,
    }  # fmt: skip
    return Measurement(
        {**this_machine(threads).to_dict(), **({"gpu": torch.cuda.get_device_name()} if on_cuda else {})},
        device, dict(price.sizes), times, clock.best, memory, predicted, missing,
        {each.name: each.prepared for each in ready if each.prepared}, {each.name: each.difference for each in ready},
        estimate, _notes(price),
    )  # fmt: skip


def _ready(
    asked: Sequence[str], spec: ModelSpec, model: Any, inputs: Any, plain: Ready, expected: Any, threads: int, on_cuda: bool,
    progress: Progress,
) -> tuple[list[Ready], dict[str, str]]:  # fmt: skip
    """The runtimes that can be had, and why the others cannot."""
    ready: list[Ready] = []
    missing: dict[str, str] = {}
    for name in asked:
        try:
            if name == "torch":
                ready.append(plain)
            elif name == "serving":
                ready.append(served(spec, model, inputs, expected))
            elif name == "compile":
                progress("compile with torch.compile")
                ready.append(compiled(model, inputs, expected))
            elif on_cuda:
                raise Missing("ONNX Runtime is measured on the processor only")
            else:
                progress("export to ONNX")
                ready.append(exported(spec, model, inputs, expected, threads))
        except Missing as reason:
            missing[name] = str(reason)
    if not ready:
        raise UserError("; ".join(missing.values()))
    return ready, missing


def _memory(model: Any, inputs: Any, plain: Ready, on_cuda: bool) -> dict[str, int | None]:
    if on_cuda:
        allocated, reserved = cuda_bytes(plain.run)
        return {"allocated": allocated, "reserved": reserved}
    there = [*inputs.values(), *model.parameters(), *model.buffers()]
    grown = process_growth(plain.run)
    return {"held": held_bytes(plain.run, there), "process": grown}


def _notes(price: Profile) -> tuple[str, ...]:
    notes = ["weights are fresh, inputs are noise, texts as long as was priced; nothing depends on what they say"]
    if any(node.exits for node in price.nodes):
        notes.append("every sample runs to the last exit")
    if price.experts:
        notes[0] = (
            "weights are fresh, inputs are noise, texts as long as was priced; which experts are busy depends on them"
        )
    return tuple(notes)


def _nothing() -> None:
    pass
