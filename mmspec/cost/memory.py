"""Bytes of activations while a model runs at inference, by liveness over the schedule that runs.

A value is alive from the operation that makes it to the last that reads it; a view keeps its source alive; what a scope was
handed stays alive until the scope has returned. Attention is fused (no matrix of scores is kept); a sparse pattern holds the
scores and the keys of its blocks (`Primitive.scratch`). Stacks that may halt are counted with every sample going on to the end,
experts with every token choosing the same k, which is the most they take.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from mmspec.cost.flops import Sizes, at_sizes
from mmspec.ir import PRIMITIVES, Graph, Op, Value, bind, product
from mmspec.ir.found import found_once

WEIGHTS = ("parameter", "constant", "define")  # what they give is there all the time
RUN = ("call", "repeat", "stages", "loop", "experts")  # operations that run graphs of their own


@at_sizes
def peak_activations(graph: Graph, sizes: Sizes) -> int:
    """The largest sum of bytes that live at once inside `graph`, beside its inputs and weights."""
    owner, last = _storages(graph)
    size: dict[int, int] = {}
    now = peak = 0
    dying: dict[float, list[int]] = {}
    for place, index in last.items():
        dying.setdefault(index, []).append(place)
    for index, op in enumerate(graph.ops):
        if op.kind in WEIGHTS:
            continue
        freed = sum(size[place] for place in dying[index]) if index in dying else 0
        peak = max(peak, now + _during(op, sizes, freed))
        for value in op.outputs:
            place = id(value)
            if place in last and owner[place] == place:  # what nobody reads is gone at once
                size[place] = sizes.bytes(value)
                now += size[place]
        now -= freed
    return peak


def _storages(graph: Graph) -> tuple[dict[int, int], dict[int, float]]:
    """Which value owns each value's memory, and the last operation that reads what it owns. Inputs and bare parameters are
    others' and are left out."""
    owner: dict[int, int] = {}
    last: dict[int, float] = {}
    for index, op in enumerate(graph.ops):
        for value in op.inputs:
            place = owner.get(id(value))
            if place is not None:
                last[place] = index
        if op.kind in WEIGHTS:
            continue
        if PRIMITIVES[op.kind].is_view(op):
            place = owner.get(id(op.inputs[0]))
            if place is not None:
                owner[id(op.outputs[0])] = place
        else:
            for value in _made(op):
                owner[id(value)] = id(value)
    for value in graph.outputs.values():
        place = owner.get(id(value))
        if place is not None:
            last[place] = math.inf
    return owner, last


def _made(op: Op) -> tuple[Value, ...]:
    """The outputs that take memory of their own: a scope may also give out a weight, such as a table that a head reads too."""
    if op.kind != "call":
        return op.outputs
    weights = _weights_given(op.bodies[0])
    return tuple(value for place, value in enumerate(op.outputs) if place not in weights) if weights else op.outputs


@found_once
def _weights_given(graph: Graph) -> frozenset[int]:
    """Which of its outputs, by number, are weights."""
    weights = {id(value) for op in graph.ops if op.kind in WEIGHTS for value in op.outputs}
    weights |= {id(v) for op in graph.ops if op.kind == "call" for v in set(op.outputs) - set(_made(op))}
    return frozenset(place for place, value in enumerate(graph.outputs.values()) if id(value) in weights)


def _during(op: Op, sizes: Sizes, freed: int) -> int:
    """Bytes beside what is alive already, at the operation's worst moment. `freed`: of inputs that nobody reads after it."""
    made = _bytes(_made(op), sizes)
    if op.kind not in RUN:
        primitive = PRIMITIVES[op.kind]
        scratch = primitive.scratch(op, sizes)
        assert isinstance(scratch, int), f"{scratch} is not bound"
        return scratch + (0 if primitive.is_view(op) else made)
    if op.kind == "call":
        return max(made, peak_activations(op.bodies[0], sizes))
    if op.kind == "loop":  # the state beside the mean of all states
        state = sizes.bytes(op.outputs[0])
        return made + state + peak_activations(op.bodies[0], sizes)
    if op.kind in ("repeat", "stages"):
        number = op.attributes["carried"]  # the first block is handed the most: a stack may narrow
        carried = max(_bytes(op.outputs[:number], sizes), _bytes(op.bodies[0].inputs[:number], sizes))
        block = max(peak_activations(body, sizes) for body in op.bodies)
        if op.kind == "stages":
            heads = [value.function for value in op.inputs if value.function is not None]
            block = max(block, carried + sum(peak_activations(graph, sizes) for graph in heads))
        released = (
            min(freed, carried) if op.kind == "repeat" else 0
        )  # what stages were handed is held until they return
        later = carried - released if len(op.attributes["order"]) > 1 else 0
        # what inner blocks give out stays, but the last block's own input is counted already
        waiting = [tap for tap in op.attributes.get("taps", ()) if tap < len(op.attributes["order"]) - 1]
        later += len(waiting) * carried
        return max(made, block, later + block)
    assert op.kind == "experts", op.kind
    return _experts(op, sizes)


def _experts(op: Op, sizes: Sizes) -> int:
    """What is gathered for the experts, their answers, and one expert at work on all that can be sent to it; then the answers in
    the experts' order, in one piece, and back in the choices' order."""
    choices, tokens = product(sizes(op.inputs[0])), product(sizes(op.inputs[0])[:-1])
    assert isinstance(choices, int) and isinstance(tokens, int)
    busiest = tokens
    if (room := op.attributes.get("room")) is not None and len(sizes(op.inputs[0])) == 3:
        length, most = sizes(op.inputs[0])[1], bind(room, sizes.sizes)
        assert isinstance(length, int) and isinstance(most, int)
        busiest = tokens // length * min(length, most)
    needs: list[int] = []
    for body in op.bodies:
        rows = sizes(body.inputs[0])[0]
        assert isinstance(rows, int)
        taken = min(rows, op.attributes["count"] * busiest)
        sent = _bytes(body.inputs[: len(body.inputs) - op.attributes["shared"]], sizes) * taken // rows
        answered = _bytes(body.outputs.values(), sizes) * taken // rows
        at_work: int = -(-peak_activations(body, sizes) * min(busiest, rows) // rows)
        needs.append(max(sent + answered + at_work, 2 * answered + _bytes(op.outputs, sizes) + 8 * choices))
    return 8 * choices + max(*needs, 3 * 8 * choices)


def _bytes(values: Iterable[Value], sizes: Sizes) -> int:
    return sum(sizes.bytes(value) for value in values)
