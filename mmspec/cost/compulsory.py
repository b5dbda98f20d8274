"""What a pass cannot do without, whatever is fused: bytes between memory and chip, and the pairs of a causal mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from mmspec.cost.flops import Sizes
from mmspec.ir import PRIMITIVES, Graph, Value, product
from mmspec.ir.graph import copies, owned

BY_TABLE = ("project", "inference_project")  # products whose weight is a value


def compulsory(graph: Graph, sizes: Sizes) -> int:
    """Bytes that a pass cannot do without: weights that products need, inputs of which not a part alone is taken, outputs."""
    inputs = sum(sizes.bytes(value) for value in graph.inputs if not value.optional and _is_read(graph, value))
    outputs = sum(sizes.bytes(value) for name, value in graph.outputs.items() if name not in graph.training)
    return sizes.floats * needed_weights(graph) + inputs + outputs


def _is_read(graph: Graph, value: Value) -> bool:
    """Whether an operation reads all of a value: one token, or a row for each number, is a part."""
    for op in graph.ops:
        for place, each in enumerate(op.inputs):
            if each is not value or value.function is not None or (op.kind in BY_TABLE and place == 1):
                continue  # the table is counted with the weights
            if op.kind == "call":
                if _is_read(op.bodies[0], op.bodies[0].inputs[place]):
                    return True
            elif op.bodies or not (
                PRIMITIVES[op.kind].is_view(op) or (PRIMITIVES[op.kind].gathers and each.dtype == "f32")
            ):
                return True
    return False


def needed_weights(graph: Graph, among: Container[int] | None = None) -> int:
    """Numbers of all weights but tables, of which rows are looked up; of experts as many as a token meets, the smallest.
    `among`: of these operations, by id, where not all of them run."""
    total = 0
    tables: Counter[int] = Counter()
    for op in graph.ops:
        if op.kind != "parameter" and (among is None or id(op) in among):
            total += sum(parameter.size for parameter in op.parameters if not parameter.buffer)
            if op.kind in BY_TABLE:
                tables[id(op.inputs[1])] = _numbers(op.inputs[1])
        if op.kind == "experts":
            total += sum(sorted(needed_weights(body, among) for body in copies(op))[: op.attributes["met"]])
        else:
            total += sum(count * needed_weights(body, among) for body, count in owned(op))
    return total + sum(tables.values())


def _numbers(table: Value) -> int:
    """Of a table of weights; what grows with the batch is none."""
    size = product(table.shape)
    return size if isinstance(size, int) else 0


def causal_pairs(queries: int, keys: int, prefix: int = 0) -> int:
    """Pairs that a causal mask allows: query i sees the keys up to i, and the first `prefix` ones."""
    always = min(prefix, keys)
    early = min(queries, always)  # queries that see the prefix alone
    grown = max(early, min(queries, keys))
    return early * always + (grown * (grown + 1) - early * (early + 1)) // 2 + (queries - grown) * keys
