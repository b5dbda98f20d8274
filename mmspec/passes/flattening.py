"""A graph without scopes, to be cut anywhere."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mmspec.ir import Graph, Op, Value
from mmspec.ir.graph import copies

SCOPES = ("call", "repeat")  # what a list of operations can say as well


def flatten(graph: Graph) -> Graph:
    """Before: scopes inside scopes, blocks in stacks.   After: one list of operations under their full paths, each block's by
    itself; parameters have the names that they had. Experts, loops and stacks that may halt stay whole.

    An operation without a module of its own is named after the scope that it was in."""
    ops: list[Op] = []
    results = _inlined(graph, graph.inputs, "", ops)
    outputs = dict(zip(graph.outputs, results, strict=True))
    return replace(graph, ops=owned_once(ops), outputs=outputs)


def _inlined(graph: Graph, given: Sequence[Value], path: str, ops: list[Op]) -> list[Value]:
    """Append the operations of a scope that is handed these values; its outputs."""
    known = {id(inner): outer for inner, outer in zip(graph.inputs, given, strict=True)}
    for op in graph.ops:
        inputs = [known[id(value)] for value in op.inputs]
        module = path + op.attributes.get("shares", op.name) if op.name else path.rstrip(".")
        if op.kind == "call":
            outputs: Sequence[Value] = _inlined(op.bodies[0], inputs, f"{module}.", ops)
        elif op.kind == "repeat":
            outputs = _unrolled(op, inputs, module, ops)
        else:
            outputs = [_own(value) for value in op.outputs]
            attributes = {name: said for name, said in op.attributes.items() if name != "shares"}
            ops.append(replace(op, name=module, inputs=tuple(inputs), outputs=tuple(outputs), attributes=attributes))
        known |= {id(value): outer for value, outer in zip(op.outputs, outputs, strict=True)}
    return [known[id(value)] for value in graph.outputs.values()]


def _unrolled(op: Op, inputs: list[Value], module: str, ops: list[Op]) -> list[Value]:
    """What goes from block to block, and what the blocks in `taps` carried on."""
    assert not op.attributes["balance"], "a loss of training is no part of a model that answers"
    carried, taps = op.attributes["carried"], op.attributes.get("taps", ())
    tapped: list[Value] = []
    for index, body in enumerate(copies(op)):
        inputs[:carried] = _inlined(body, inputs, f"{module}.{index}.", ops)[:carried]
        tapped += inputs[:carried] if index + 1 in taps else []
    return [*inputs[:carried], *tapped]


def _own(value: Value) -> Value:
    """A value of the list's own: a block is looked at once for each of its copies."""
    own = copy.copy(value)
    own.mask = None
    return own


def owned_once(ops: Iterable[Op]) -> tuple[Op, ...]:
    """The operations, of which the first with a module has it and later ones share it."""
    made: set[str] = set()
    result = []
    for op in ops:
        if op.parameters or op.bodies:
            if op.name in made:
                op = replace(op, attributes={**op.attributes, "shares": op.name}, parameters=())
            made.add(op.name)
        result.append(op)
    return tuple(result)
