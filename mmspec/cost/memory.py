"""Bytes of activations while a model runs at inference, by liveness over the schedule that runs.

A value is alive from the operation that makes it to the last that reads it; a view keeps its source alive; what a scope was
handed stays alive until the scope has returned. Attention is fused (no matrix of scores is kept). Stacks that may halt are
counted with every sample going on to the end, experts with every token choosing the same k, which is the most they take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mmspec.cost.flops import Sizes
from mmspec.ir import PRIMITIVES, Dim, Graph, Op, Value, product
from mmspec.ir.graph import DTYPE_BYTES


def value_bytes(value: Value, sizes: Sizes) -> int:
    return _integer(DTYPE_BYTES[value.dtype] * product(sizes(value)))


def peak_activations(graph: Graph, sizes: Sizes) -> int:
    """The largest sum of bytes that live at once inside `graph`, beside its inputs and weights."""
    storage = _storages(graph)
    readers = Counter(storage[id(value)] for op in graph.ops for value in op.inputs if id(value) in storage)
    readers.update(storage[id(value)] for value in graph.outputs.values() if id(value) in storage)
    size = {id(value): value_bytes(value, sizes) for op in graph.ops for value in op.outputs}
    alive: set[int] = set()
    now = peak = 0
    for op in graph.ops:
        dying = _dying(op, readers, storage)
        freed = sum(size[s] for s in dying & alive)
        peak = max(peak, now + _during(op, sizes, freed))
        for value in op.outputs:
            place = storage.get(id(value))
            if place == id(value) and place not in alive and readers[place]:
                alive.add(place)
                now += size[place]
        for value in op.inputs:
            place = storage.get(id(value))
            if place is not None:
                readers[place] -= 1
        for place in dying & alive:
            alive.discard(place)
            now -= size[place]
        peak = max(peak, now)
    return peak


def _storages(graph: Graph) -> dict[int, int]:
    """The value that owns each value's memory; inputs and bare parameters are others' and are left out."""
    owners: dict[int, int] = {}
    for op in graph.ops:
        if op.kind in ("parameter", "define"):
            continue
        for value in op.outputs:
            if PRIMITIVES[op.kind].alias:
                source = owners.get(id(op.inputs[0]))
                if source is not None:
                    owners[id(value)] = source
            else:
                owners[id(value)] = id(value)
    return owners


def _dying(op: Op, readers: Counter[int], storage: dict[int, int]) -> set[int]:
    """The storages that nothing reads after this operation."""
    read = Counter(storage[id(value)] for value in op.inputs if id(value) in storage)
    return {place for place, times in read.items() if readers[place] == times}


def _during(op: Op, sizes: Sizes, freed: int) -> int:
    """Bytes beside what is alive already, at the operation's worst moment. `freed`: of inputs that nobody reads after it."""
    made = _bytes(op.outputs, sizes)
    if op.kind in ("parameter", "define"):
        return 0
    if op.kind == "call":
        return max(made, peak_activations(op.bodies[0], sizes))
    if op.kind in ("repeat", "stages"):
        carried = _bytes(op.outputs[: op.attributes["carried"]], sizes)
        block = peak_activations(op.bodies[0], sizes)
        if op.kind == "stages":
            heads = [value.function for value in op.inputs if value.function is not None]
            block = max(block, carried + sum(peak_activations(graph, sizes) for graph in heads))
        later = carried - min(freed, carried) if op.attributes["count"] > 1 else 0
        return max(made, block, later + block)
    if op.kind == "experts":
        return _experts(op, sizes)
    alias = PRIMITIVES[op.kind].alias
    return (0 if alias else made) + _integer(PRIMITIVES[op.kind].scratch(op, sizes))


def _experts(op: Op, sizes: Sizes) -> int:
    """Tokens gathered for the experts, their answers, and one expert at work on as many tokens as there are."""
    body, k = op.bodies[0], op.attributes["k"]
    sent = value_bytes(body.inputs[0], sizes)
    probabilities = value_bytes(op.inputs[1], sizes)
    at_work = -(-peak_activations(body, sizes) // k)
    return 2 * probabilities + max(2 * sent + at_work, 4 * sent)


def _bytes(values: Iterable[Value], sizes: Sizes) -> int:
    return sum(value_bytes(value, sizes) for value in values)


def _integer(dim: Dim) -> int:
    assert isinstance(dim, int), f"{dim} is not bound"
    return dim
