"""One operation of a graph as a module of its own, and what each operation of a model is handed.

The module is made by the same code as the model's: it takes what the operation takes inside of the model, Python's part included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from mmspec.backend import build_graph
from mmspec.backend.runtime import Loop, Stages
from mmspec.ir import Graph, Op, Value
from mmspec.measuring.schedule import identity, parts

# an operation of the graph, the same as it is measured, what it is handed -> its module, where one was made
Seen = Callable[[Op, Op, Sequence[Any]], nn.Module | None]


@dataclass(frozen=True)
class Function:
    """What stands for a value that is a function: the operation that defines it."""

    op: Op


def alone(op: Op, given: Sequence[Any]) -> nn.Module:
    """A module of one operation with weights of its own, in evaluation; what may stop early goes on to its end. It is called with
    those of `given` that are no functions."""
    ops: list[Op] = []
    inputs: list[Value] = []
    read: list[Value] = []
    for index, (value, handed) in enumerate(zip(op.inputs, given, strict=True)):
        if isinstance(handed, Function):
            fresh = Value(f"f{index}", (), "function", value.scope, function=value.function)
            ops.append(_own(replace(handed.op, name=f"f{index}", outputs=(fresh,))))
        else:
            fresh = Value(f"x{index}", value.shape, value.dtype, value.scope)
            inputs.append(fresh)
        read.append(fresh)
    outputs = tuple(Value(f"y{i}", v.shape, v.dtype, v.scope) for i, v in enumerate(op.outputs))
    ops.append(_own(replace(op, name=op.name or op.kind, inputs=tuple(read), outputs=outputs)))
    module = build_graph(Graph("Alone", tuple(inputs), tuple(ops), {value.name: value for value in outputs})).eval()
    go_on(module)
    return module


def _own(op: Op) -> Op:
    return replace(op, attributes={name: said for name, said in op.attributes.items() if name != "shares"})


def go_on(module: nn.Module) -> None:
    """Let every sample run to the last exit of every stack."""
    for inner in module.modules():
        if isinstance(inner, (Loop, Stages)):
            inner.force(inner.earlier)


def tensors_of(given: Sequence[Any]) -> list[Any]:
    return [value for value in given if not isinstance(value, Function)]


def meet(graph: Graph, given: Sequence[Any], seen: Seen) -> list[Any]:
    """Run a graph operation by operation, each kind of block once, and show what each is handed.   Returns the outputs."""
    values: dict[int, Any] = {id(value): tensor for value, tensor in zip(graph.inputs, given, strict=True)}
    for op in graph.ops:
        read = [values[id(value)] for value in op.inputs]
        values |= {id(value): result for value, result in zip(op.outputs, _results(op, read, seen), strict=True)}
    return [values[id(value)] for value in graph.outputs.values()]


def _results(op: Op, read: Sequence[Any], seen: Seen) -> list[Any]:
    if op.kind in ("define", "functions"):
        return [Function(op)]
    if op.kind == "call":
        return meet(op.bodies[0], read, seen)
    if op.kind == "repeat":
        return _blocks(op, read, seen)
    shell = op
    if parts(op):
        number = len(op.attributes["given"])
        for body in op.bodies:
            meet(body, read[number : number + len(body.inputs)], seen)
        shell = identity(op)
    module = seen(op, shell, read) or alone(shell, read)
    with torch.inference_mode():
        result = module(*tensors_of(read))
    results = list(result) if isinstance(result, tuple) else [result]
    return results + [torch.zeros(())] * (len(op.outputs) - len(results))  # the loss that an empty stack does not give


def _blocks(op: Op, read: Sequence[Any], seen: Seen) -> list[Any]:
    """A block hands on what its kind handed on."""
    number = op.attributes["carried"]
    carried, shared = list(read[:number]), list(read[number:])
    known: dict[int, list[Any]] = {}
    tapped: list[Any] = []
    for place, index in enumerate(op.attributes["order"], 1):
        if index not in known:
            known[index] = meet(op.bodies[index], [*carried, *shared], seen)
        carried = known[index][:number]
        tapped += carried if place in op.attributes.get("taps", ()) else []
    loss = [torch.zeros(())] if op.attributes["balance"] else []
    return [*carried, *tapped, *loss]
