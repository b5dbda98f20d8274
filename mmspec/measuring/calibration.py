"""What the operations of models take on this machine, measured one by one and kept.

They run in the order in which the model has them, each kind of block once, over and over; the weights are others every time, so
many that the caches do not hold them, unless they hold the whole model's. An operation that runs over and over alone would find
its code and its operands in the caches, and be up to twice as fast as in a small model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmspec.backend import build_graph
from mmspec.backend.build import FLOAT_BYTES
from mmspec.cost import Sizes, peak_activations
from mmspec.errors import UserError
from mmspec.files import write_atomically
from mmspec.ir import Graph, Op, Value, parameter_count
from mmspec.ir.graph import copies
from mmspec.measuring.examples import inputs_of
from mmspec.measuring.machine import cache_folder, last_cache, this_machine
from mmspec.measuring.operations import alone, meet, tensors_of
from mmspec.measuring.room import check_room
from mmspec.measuring.schedule import AT_HAND, SCOPE, Step, parts, schedule
from mmspec.measuring.times import Times

FORMAT = 1
Run = Callable[..., Any]
MOST_COPIES = 12
SCOPES = 8  # entries into scopes that are timed in every pass, each another module
BARE = "bare"  # the same without entering: what a clock and a function cost
LEAST_PASSES, MOST_PASSES = 6, 2000


@dataclass(frozen=True)
class Taken:
    """Seconds of one operation."""

    label: str
    minimum: float
    median: float
    spread: float | None


@dataclass
class Calibration:
    """Operations by key, of one machine: `machine` is its record."""

    machine: Mapping[str, Any]
    operations: dict[str, Taken] = field(default_factory=dict)
    path: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "machine": dict(self.machine),
            "operations": {
                key: {"label": t.label, "minimum": t.minimum, "median": t.median, "spread": t.spread}
                for key, t in sorted(self.operations.items())
            },
        }  # fmt: skip

    def save(self) -> None:
        """Into its file, beside what others have put there since."""
        assert self.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        known = read_calibration(self.path).operations if self.path.is_file() else {}
        self.operations = known | self.operations
        write_atomically(self.path, json.dumps(self.to_dict(), indent=1) + "\n")


def calibration_here(threads: int) -> Calibration:
    """What is known of this machine.   Raises UserError: its file cannot be read."""
    machine = this_machine(threads)
    path = cache_folder() / "operations" / f"{machine.name}.json"
    if path.is_file():
        found = read_calibration(path)
        if found.machine == machine.to_dict():
            return found
    return Calibration(machine.to_dict(), {}, path)


def read_calibration(path: str | Path) -> Calibration:
    """Raises UserError"""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise UserError(f"{path} has format {data['format']}, and this version reads {FORMAT}: measure again")
        taken = {key: Taken(**said) for key, said in data["operations"].items()}
        return Calibration(data["machine"], taken, Path(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no calibration of operations: {error}") from error


def cold_bytes(graph: Graph) -> int:
    """So many bytes of weights go by before the same ones are read again: all of the model's, or twice the caches."""
    own, enough = FLOAT_BYTES * parameter_count(graph), 2 * last_cache()
    rounded = 1 << max(20, (own - 1).bit_length())  # models of about one size share their measurements
    return min(enough, rounded)


def keys_of(graph: Graph, steps: Sequence[Step]) -> dict[str, str]:
    """Under which name each different operation is kept, by its key."""
    cold = cold_bytes(graph) >> 20
    return {step.key: f"{step.key} {cold}" for step in steps}


def calibrate(graph: Graph, sizes: Sizes, known: Calibration, seconds: float = 4.0, again: bool = False) -> int:
    """Measure what is not known yet of the operations of a graph with costs, for `seconds`, or all of them `again`; returns how
    many that were.

    Raises   UserError: the operations do not fit into memory
    """
    names = keys_of(graph, list(schedule(graph, sizes)))
    if again:
        for name in names.values():
            known.operations.pop(name, None)
    if all(name in known.operations for name in names.values()):
        return 0
    with threads_of(int(known.machine["threads"])):
        bench = Bench(graph, sizes)
        bench.run(seconds)
    return bench.tell(known)


class Bench:
    """The operations of a graph with costs, and their inputs, in the order of the graph, each with several sets of weights.

    Raises   UserError: they do not fit into memory
    """

    def __init__(self, graph: Graph, sizes: Sizes) -> None:
        steps = list(schedule(graph, sizes))
        self.labels = {step.key: step.label for step in steps}
        self.names = keys_of(graph, steps)
        self.keys = {id(step.op): step.key for step in steps if step.op is not None}
        different = {step.key: step.op for step in steps if step.op is not None}
        bytes_each = sum(FLOAT_BYTES * _own(op) for op in different.values())
        self.copies = max(1, min(MOST_COPIES, -(-cold_bytes(graph) // max(1, bytes_each))))
        check_room(self.copies * bytes_each, peak_activations(graph, sizes), "measuring its operations")
        self.order: list[str] = []
        scopes = [_scope(graph.inputs[0]) for _ in range(SCOPES)]
        self.runs: dict[str, list[Run]] = {SCOPE: list(scopes), BARE: [scope.forward for scope in scopes]}
        self.given: dict[str, list[Any]] = {SCOPE: [torch.zeros(1)], BARE: [torch.zeros(1)]}
        inputs = inputs_of(graph, sizes)
        meet(graph, [inputs.get(value.name) for value in graph.inputs], self.seen)
        self.samples: dict[str, list[float]] = {key: [] for key in self.runs}
        self.used = dict.fromkeys(self.runs, 0)
        every = max(1, len(self.order) // SCOPES)
        self.order = [
            each for i, key in enumerate(self.order) for each in ([SCOPE, BARE, key] if i % every == 0 else [key])
        ]

    def seen(self, op: Op, shell: Op, given: Sequence[Any]) -> nn.Module | None:
        if op.kind in AT_HAND:
            return None
        key = self.keys[id(op)]
        self.order.append(key)
        if key in self.runs:
            return None
        modules = [alone(shell, given) for _ in range(self.copies)]
        self.runs[key] = [module.forward for module in modules]  # the operation, without entering its scope
        self.given[key] = tensors_of(given)
        return modules[0]

    def run(self, seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        """Time every operation, in several passes; another run adds to what is known."""
        begin, passes = clock(), 0
        with torch.inference_mode():
            while passes <= LEAST_PASSES or (clock() - begin < seconds and passes < MOST_PASSES):
                for key in self.order:
                    runs, given = self.runs[key], self.given[key]
                    run = runs[self.used[key] % len(runs)]
                    self.used[key] += 1
                    start = clock()
                    run(*given)
                    taken = clock() - start
                    if passes:  # the first warms up
                        self.samples[key].append(taken)
                passes += 1

    def tell(self, known: Calibration) -> int:
        """Put what is new into a calibration; returns how many operations that are."""
        bare = Times(tuple(self.samples[BARE]))
        new = [key for key, name in self.names.items() if name not in known.operations]
        for key in new:
            times = Times(tuple(self.samples[key]))
            low, middle = max(0.0, times.minimum - bare.minimum), max(0.0, times.median - bare.median)
            known.operations[self.names[key]] = Taken(self.labels[key], low, middle, times.spread)
        return len(new)


def _own(op: Op) -> int:
    """Weights of an operation as it is measured."""
    inside = 0 if parts(op) else sum(parameter_count(body) for body in copies(op))
    return sum(parameter.size for parameter in op.parameters) + inside


def _scope(like: Value) -> nn.Module:
    x = Value("x", (1,), "f32", like.scope)
    return build_graph(Graph("Nothing", (x,), (), {"x": x})).eval()


@contextmanager
def threads_of(number: int) -> Iterator[None]:
    """torch with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
