"""How long a device needs at the least, and whether arithmetic or memory holds it up (Williams et al. 2009).

    lower bound   max( sum_c F_c / P_c,  (Q - C) / W )              no schedule and no fusion can be faster
    op by op      sum over operations of  max( F_o / P,  D_o / W )   each reads its inputs and writes its outputs: no bound

    F   FLOPs of products, by class c; of causal attention only the pairs that it may look at
    P   the device's peak for that precision; convolutions of float32 are held to the peak of tf32, which cuDNN takes unasked
    Q   bytes that must cross between memory and chip: weights that products need, once, inputs and outputs
    C   what a known cache may hold of them from the run before
    W   the device's bandwidth
    D   all bytes that an operation reads and writes

The bound is one of the operations as they are listed: fewer multiplications than these (Winograd, Strassen, layers merged), fewer
weights, or a chip that clocks above its sheet could beat it. Elementary operations are not in F; a table of which rows are looked
up is not in Q. Experts: a token's k, the smallest ones' weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mmspec.cost.compulsory import causal_pairs, compulsory, needed_weights
from mmspec.cost.decoding import Decoding
from mmspec.cost.devices import BYTES, Device
from mmspec.cost.flops import Sizes
from mmspec.cost.ledger import Entry
from mmspec.cost.work import FAMILIES
from mmspec.errors import UserError
from mmspec.ir import Graph

Part = Literal["forward", "backward", "step"]
RUNS = tuple(name for name, size in BYTES.items() if size == int(size))  # int4 is a type of weights, not of a whole run


@dataclass(frozen=True)
class OperationTime:
    """An operation on a device: seconds of all its `runs` in one pass, and what they are bound by."""

    entry: Entry
    runs: int
    flops: int
    bytes: int
    compute: float
    memory: float

    @property
    def seconds(self) -> float:
        return max(self.compute, self.memory)

    @property
    def memory_bound(self) -> bool:
        return self.memory >= self.compute


@dataclass(frozen=True)
class Bound:
    """A node, or the model, on a device; seconds.

    compute      of the products alone; None: the device's peak is not known
    memory       of the bytes that must move
    op_by_op     if every operation reads its inputs and writes its outputs; None with `compute`
    memory_bound of op_by_op, the seconds of operations that memory holds up
    """

    name: str
    compute: float | None
    memory: float
    op_by_op: float | None
    memory_bound: float

    @property
    def least(self) -> float:
        return max(self.compute or 0.0, self.memory)

    @property
    def memory_bound_share(self) -> float | None:
        if self.op_by_op is None:
            return None
        return self.memory_bound / self.op_by_op if self.op_by_op else 0.0

    def to_dict(self) -> dict[str, Any]:
        share = self.memory_bound_share
        return {
            "lower_bound_ms": 1e3 * self.least,
            "compute_ms": None if self.compute is None else 1e3 * self.compute, "memory_ms": 1e3 * self.memory,
            "op_by_op_ms": None if self.op_by_op is None else 1e3 * self.op_by_op,
            "memory_bound_share": share, "compute_bound_share": None if share is None else 1 - share,
        }  # fmt: skip


@dataclass(frozen=True)
class Roofline:
    """What holds a model up on a device, at a precision and a batch; `nodes` each as if it ran alone."""

    device: Device
    precision: str
    batch: int
    whole: Bound
    nodes: tuple[Bound, ...]
    step: Bound | None = None  # of writing a text: one token for each sample, at the length that was priced
    training: Bound | None = None  # of a pass and its gradients

    @property
    def samples_per_second(self) -> float:
        """No more than these."""
        return self.batch / self.whole.least if self.whole.least else float("inf")

    @property
    def unknown(self) -> str | None:
        """Why the time of the products is not known."""
        why = self.device.unknown.get(self.precision)
        return None if self.whole.compute is not None else f"{why}: the bound is that of memory alone"

    def to_dict(self) -> dict[str, Any]:
        rate = self.samples_per_second
        return {
            "device": self.device.key, "name": self.device.name, "precision": self.precision, "batch": self.batch,
            **self.whole.to_dict(),
            "samples_per_second": None if rate == float("inf") else rate,
            "ridge_flops_per_byte": self.device.ridge(self.precision),
            "cache_bytes": self.device.cache,
            "nodes": [{"name": node.name, **node.to_dict()} for node in self.nodes],
            "decoding": None if self.step is None else self.step.to_dict(),
            "training": None if self.training is None else self.training.to_dict(),
            "unknown": self.unknown,
        }  # fmt: skip


def roofline(bill: Entry, graph: Graph, sizes: Sizes, device: Device, precision: str) -> Roofline:
    """Of the ledger of a graph at the same sizes, whose numbers have the bytes of the precision (see `number_bytes`).

    Raises   UserError: a precision that the device does not compute in
    """
    peaks = peaks_of(device, precision)
    known = None not in peaks.values()
    ops = {op.name: op for op in graph.ops if op.kind in ("call", "define")}

    def bound(name: str, line: Entry, part: Graph) -> Bound:
        return _bound(name, operation_times(line, sizes, peaks, device), compulsory(part, sizes), device, known)

    nodes = tuple(bound(line.path, line, ops[line.path].bodies[0]) for line in bill.children if line.path in ops)
    return Roofline(device, precision, sizes.sizes["B"], bound("", bill, graph), nodes)


def step_bound(found: Decoding, graph: Graph, sizes: Sizes, device: Device, precision: str) -> Bound:
    """Of one step of writing: the weights of what depends on the text, and what is kept of the tokens before, must be read.

    Raises   UserError: a precision that the device does not compute in
    """
    peaks = peaks_of(device, precision)
    among = frozenset(id(entry.op) for entry, _ in found.step.operations())
    moved = sizes.floats * needed_weights(graph, among) + found.cache + found.context
    times = operation_times(found.step, sizes, peaks, device, "step")
    return _bound("step", times, moved, device, None not in peaks.values())


def training_bound(
    bill: Entry, graph: Graph, trainable: int, sizes: Sizes, device: Device, precision: str
) -> Bound | None:
    """Of a pass and its gradients: weights are read, and what is trained is written. What the optimizer keeps is left out.
    None where nothing is trained.

    bill   of attention that keeps its scores (`fused=False`), since no kernel must compute them once more

    Raises   UserError: a precision that the device does not compute in
    """
    if not bill.backward.bytes:
        return None
    peaks = peaks_of(device, precision)
    moved = compulsory(graph, sizes) + sizes.floats * min(trainable, needed_weights(graph))
    there = operation_times(bill, sizes, peaks, device)
    back = operation_times(bill, sizes, peaks, device, "backward")
    return _bound("training", (*there, *back), moved, device, None not in peaks.values())


def number_bytes(precision: str) -> int:
    """Bytes of a number in a run at that precision.   Raises UserError: one that no whole run has."""
    if precision not in RUNS:
        if precision in BYTES:
            raise UserError(f"{precision} is a type of weights, not of a whole run; runs have {', '.join(RUNS)}")
        from mmspec.spec.diagnostics import did_you_mean

        hint = did_you_mean(precision, RUNS) or f"; there are {', '.join(RUNS)}"
        raise UserError(f"there is no precision {precision!r}{hint}")
    return int(BYTES[precision])


def peaks_of(device: Device, precision: str) -> Mapping[str, float | None]:
    """FLOPs per second by class of product; None where they are not known."""
    usual = device.peak(precision)
    quicker = device.peak("tf32") if precision == "fp32" and "tf32" in device.peaks else usual
    return {family: quicker if family == "convolution" else usual for family in FAMILIES}


def operation_times(
    line: Entry, sizes: Sizes, peaks: Mapping[str, float | None], device: Device, part: Part = "forward"
) -> Iterator[OperationTime]:
    """Every operation below a line of the ledger, in the order of the schedule. `part`: a pass, its gradients, or a step of
    writing, whose token sees all others."""
    for entry, runs in line.operations():
        work = entry.backward if part == "backward" else entry.forward
        priced = {family: runs * flops for family in FAMILIES if (flops := getattr(work, family))}
        products = priced if part == "step" else needed(entry, priced, sizes)
        compute = sum(flops / peak for family, flops in products.items() if (peak := peaks[family]))
        moved = runs * work.bytes
        yield OperationTime(entry, runs, sum(products.values()), moved, compute, moved / device.bandwidth)


def needed(entry: Entry, products: Mapping[str, int], sizes: Sizes) -> Mapping[str, int]:
    """FLOPs by class: as priced, but of causal attention what a kernel cannot leave out."""
    op = entry.op
    if op is None or op.kind != "attention" or not op.attributes["causal"]:
        return products
    queries, keys = sizes(op.inputs[0])[2], sizes(op.inputs[1])[2]
    assert isinstance(queries, int) and isinstance(keys, int)
    seen = causal_pairs(queries, keys, op.attributes.get("prefix") or 0)
    return {family: flops * seen // (queries * keys) for family, flops in products.items()}


def _bound(name: str, times: Iterable[OperationTime], moved: int, device: Device, known: bool) -> Bound:
    times = list(times)
    held_up = sum(time.seconds for time in times if time.memory_bound)
    return Bound(
        name,
        sum(time.compute for time in times) if known else None,
        max(0, moved - (device.cache or 0)) / device.bandwidth,
        sum(time.seconds for time in times) if known else None,
        held_up if known else 0.0,
    )
