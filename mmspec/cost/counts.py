"""How many parameters a graph has: all, those that a token meets, those that are trained."""

from __future__ import annotations

from mmspec.ir import Graph, Op
from mmspec.ir.found import found_once
from mmspec.ir.graph import copies, own_parameters, own_trained, owned


def parameters_of(graph: Graph) -> int:
    """All trained numbers of a model; what two nodes share counts once."""
    nodes = (op for op in graph.ops if op.kind in ("call", "define") and "shares" not in op.attributes)
    return sum(parameters(op.bodies[0])[0] for op in nodes)


@found_once
def parameters(graph: Graph) -> tuple[int, int]:
    """All parameters, and those of the experts that a token does not meet."""
    total = idle = 0
    for op in graph.ops:
        total += own_parameters(op)
        for body, count in owned(op):
            inner, unmet = parameters(body)
            total += count * inner
            idle += count * unmet if op.kind != "experts" else 0
        if op.kind == "experts":
            idle += _unmet(op)
    return total, idle


def _unmet(op: Op) -> int:
    """Parameters of the experts that a token does not meet: of experts of several kinds, it meets the largest."""
    sizes = sorted(parameters(body)[0] for body in copies(op))
    return sum(sizes[: len(sizes) - op.attributes["met"]])


def trained_and_shared(graph: Graph) -> dict[str, int]:
    """How many parameters are trained, and how many belong to nodes whose weights another node uses too."""
    owners = {op.attributes["shares"] for op in graph.ops if "shares" in op.attributes}
    shared = sum(parameters(op.bodies[0])[0] for op in graph.ops if op.name in owners)
    return {"trainable": _trainable(graph), "shared": shared}


@found_once
def _trainable(graph: Graph) -> int:
    return sum(own_trained(op) + sum(count * _trainable(body) for body, count in owned(op)) for op in graph.ops)
