"""Nodes that share weights: whose they are, and whether both compute the same with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmspec.ir import Graph, Op, Value, parameters
from mmspec.spec import Diagnostic, ModelSpec
from mmspec.spec.ties import owner


def owners(spec: ModelSpec) -> Mapping[str, str]:
    """By tied node, the one whose module it calls."""
    nodes: dict[str, Any] = {node.name: node.component for node in spec.nodes}
    return {name: owner(name, nodes) for name, node in nodes.items() if node.tie is not None}


def unshareable(spec: ModelSpec, ops: Sequence[Op]) -> Iterator[Diagnostic]:
    """Ties between nodes that read too different things for one module to compute both."""
    bodies = {op.name: op.bodies[0] for op in ops if op.kind in ("call", "define")}
    for name, other in owners(spec).items():
        if name not in bodies or other not in bodies or _program(bodies[name]) == _program(bodies[other]):
            continue
        ours, theirs = (
            {placed.path: placed.parameter.shape for placed in parameters(bodies[each])} for each in (name, other)
        )
        wrong = [
            f"{path} would be {list(ours[path])} here and is {list(theirs[path])} there"
            for path in ours
            if theirs.get(path, ours[path]) != ours[path]
        ]
        path = next(f"{node.path}.tie" for node in spec.nodes if node.name == name)
        hint = "; ".join(wrong[:3]) or "what they read differs: in its sizes, in its kind, or one of both has a mask"
        yield spec.diagnostic(path, f"{name} cannot share the weights of {other!r}", hint=hint)


def _program(graph: Graph) -> Any:
    """What a graph computes, whatever its values are called."""
    number: dict[int, int] = {}

    def place(value: Value) -> int:
        return number.setdefault(id(value), len(number))

    inputs = [(place(value), value.dtype, len(value.shape)) for value in graph.inputs]
    ops = [
        (
            op.kind, op.name, [place(value) for value in op.inputs], [place(value) for value in op.outputs],
            dict(op.attributes), op.parameters, [_program(body) for body in op.bodies],
        )
        for op in graph.ops
    ]  # fmt: skip
    return inputs, ops, [place(value) for value in graph.outputs.values()]
