"""Bytes that travel between devices where experts are placed on several: what is dispatched to them, and what they answer.

The rest of the model stands on device 0, and every expert gets as much as every other (even load).
"""

from __future__ import annotations

from mmspec.cost.flops import Sizes, at_sizes
from mmspec.ir import Graph, Op
from mmspec.ir.graph import owned


@at_sizes
def communication(graph: Graph, sizes: Sizes) -> int:
    """Per forward, of the whole graph; 0 where no expert is placed elsewhere."""
    total = 0
    for op in graph.ops:
        if op.kind == "define":
            continue
        if op.kind == "experts" and op.attributes.get("placement"):
            total += _between(op, sizes)
        total += sum(count * communication(body, sizes) for body, count in owned(op))
    return total


def _between(op: Op, sizes: Sizes) -> int:
    away: int = sum(device != 0 for device in op.attributes["placement"])
    body = op.bodies[0]
    sent = body.inputs[: len(body.inputs) - op.attributes["shared"]]
    each: int = sum(sizes.bytes(value) for value in (*sent, *body.outputs.values()))
    count: int = op.attributes["count"]
    return each * away // count
