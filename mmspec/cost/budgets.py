"""What a budget of FLOPs buys: the costs that an anytime model holds against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmspec.cost.flops import Flops, Sizes, op_flops
from mmspec.ir import Graph, Op


def with_costs(graph: Graph) -> Graph:
    """Before: a stack that stops at a budget does not know what its exits cost.
    After: it does, in FLOPs of one sample with the longest texts, all other nodes computed in full."""
    if not any(_asks(op) for op in graph.ops):
        return graph
    sizes = Sizes({"B": 1, **graph.limits})
    parts = {op.name: op_flops(op, sizes) for op in graph.ops if op.kind in ("call", "define")}
    whole = sum(_whole(part) for part in parts.values())
    ops = []
    for op in graph.ops:
        if _asks(op):
            around = whole - _whole(parts[op.name])
            costs = tuple(around + _whole(spent) for spent in parts[op.name].exits)
            op = replace(op, bodies=(_told(op.bodies[0], costs),))
        ops.append(op)
    return replace(graph, ops=tuple(ops))


def most_spent(graph: Graph) -> Mapping[str, int]:
    """By input that is a budget, the FLOPs of a sample for which it is no limit; of a graph with costs."""
    found = {}
    for op in graph.ops:
        for stack in op.bodies[0].ops if _asks(op) else ():
            if stack.attributes.get("criterion") == "Budget":
                budget = stack.inputs[stack.attributes["given"].index("budget")]
                place = op.bodies[0].inputs.index(budget)
                found[op.inputs[place].name] = max(stack.attributes["arguments"]["costs"], default=0)
    return found


def _asks(op: Op) -> bool:
    return op.kind == "call" and any(inner.attributes.get("criterion") == "Budget" for inner in op.bodies[0].ops)


def _told(graph: Graph, costs: tuple[int, ...]) -> Graph:
    return replace(graph, ops=tuple(_with(op, {"arguments": {"costs": costs}}) for op in graph.ops))


def _with(op: Op, attributes: Mapping[str, Any]) -> Op:
    told = op.attributes.get("criterion") == "Budget"
    return replace(op, attributes={**op.attributes, **attributes}) if told else op


def _whole(part: Flops) -> int:
    total = part.total
    assert isinstance(total, int), f"{total} is not bound"
    return total
