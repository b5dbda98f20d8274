"""Leave out what no output needs, through all scopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mmspec.ir import Graph, Op, Value
from mmspec.ir.found import keep

Ports = dict[str, set[int]]  # by module, which of its outputs are read


def drop_unused(graph: Graph) -> Graph:
    """Before: a multi-stream fusion returns every stream, the row of all, and where each sample left.
    After: it returns its own value and what heads and objectives read, and computes no more than that.

    Nodes that share a module keep what any of them is read for."""
    shared: Ports = {op.attributes["shares"]: set() for op in graph.ops if "shares" in op.attributes}
    while True:  # what one of them keeps may be read from another
        known = {name: set(ports) for name, ports in shared.items()}
        pruned = _pruned(graph, graph.outputs, shared=shared)
        if shared == known:
            return pruned


def _pruned(graph: Graph, outputs: Mapping[str, Value], keep: int = 0, shared: Ports | None = None) -> Graph:
    """The graph with only these outputs; its first `keep` inputs stay even where nothing reads them. `shared` modules keep what it
    says, and what is read of them is added to it."""
    needed = {id(value) for value in outputs.values()}
    if graph.whole:  # a node keeps the value that bears its name: people look at it, in print and by hooks
        needed |= {id(op.outputs[0]) for op in graph.ops if op.kind == "call"}
    ops: list[Op] = []
    for op in reversed(graph.ops):
        made = op.outputs
        if id(made[0]) in needed if len(made) == 1 else any(id(value) in needed for value in made):
            if shared and (module := op.attributes.get("shares", op.name)) in shared:
                shared[module] |= {i for i, value in enumerate(op.outputs) if id(value) in needed}
                needed |= {id(op.outputs[i]) for i in shared[module]}
            if op.bodies:
                op = _narrowed(op, needed)
            needed.update(map(id, op.inputs))
            ops.append(op)
    kept = {id(value) for value in graph.inputs[:keep]}
    whole = graph.whole  # what a user may pass stays part of the signature
    inputs = tuple(value for value in graph.inputs if whole or id(value) in needed or id(value) in kept)
    if len(inputs) == len(graph.inputs) and len(outputs) == len(graph.outputs) and _same(ops, graph.ops):
        return graph
    return replace(graph, inputs=inputs, ops=tuple(reversed(ops)), outputs=dict(outputs))


def _same(backwards: list[Op], ops: tuple[Op, ...]) -> bool:
    return len(backwards) == len(ops) and all(a is b for a, b in zip(reversed(backwards), ops, strict=True))


def _narrowed(op: Op, needed: set[int]) -> Op:
    """The operation with only the outputs that are needed, as far as its kind can do without the others."""
    if op.kind == "call":
        body = op.bodies[0]
        wanted = tuple(port for port, outer in zip(body.outputs, op.outputs, strict=True) if id(outer) in needed)
        outputs = tuple(outer for outer in op.outputs if id(outer) in needed)
        return _with_bodies(op, (_called(body, wanted),), 0, outputs, op.attributes)
    if op.kind in ("repeat", "stages"):
        return _narrowed_stack(op, needed)
    return op


def _called(body: Graph, wanted: tuple[str, ...]) -> Graph:
    """A nested scope with only these outputs; the same graph each time that the same ones are wanted of it."""
    key = f"{__name__}.called", wanted
    known: Graph | None = body.found.get(key)
    return known or keep(body, key, _pruned(body, {port: body.outputs[port] for port in wanted}))


def _narrowed_stack(op: Op, needed: set[int]) -> Op:
    outputs, attributes = op.outputs, op.attributes
    balance = attributes["balance"] and id(op.outputs[-1]) in needed
    if attributes["balance"] and not balance:
        outputs, attributes = op.outputs[:-1], {**op.attributes, "balance": False}
    handed = len(op.bodies[0].inputs)
    # a head may look at what the block does not; blocks of several kinds take the same values
    keep = handed if op.kind == "stages" or len(op.bodies) > 1 else attributes["carried"]
    pruned = []
    for body in op.bodies:
        wanted = {port: value for port, value in body.outputs.items() if balance or port != "balance"}
        pruned.append(_pruned(body, wanted, keep))
    if op.kind == "stages":  # its blocks keep all that they are handed
        return replace(op, outputs=outputs, attributes=attributes, bodies=tuple(pruned))
    return _with_bodies(op, tuple(pruned), len(op.inputs) - handed, outputs, attributes)


def _with_bodies(
    op: Op, bodies: tuple[Graph, ...], functions: int, outputs: tuple[Value, ...], attributes: Mapping[str, object]
) -> Op:
    """`op` around narrower bodies; its inputs are some functions, then one for each input of an old body."""
    if len(outputs) == len(op.outputs) and all(new is old for new, old in zip(bodies, op.bodies, strict=True)):
        return op
    old = op.bodies[0].inputs
    remaining = {id(value) for value in bodies[0].inputs}
    handed = tuple(outer for inner, outer in zip(old, op.inputs[functions:], strict=True) if id(inner) in remaining)
    return replace(op, inputs=(*op.inputs[:functions], *handed), outputs=outputs, attributes=attributes, bodies=bodies)
