"""Linear layers that read one value, as one matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmspec.ir import Graph, Op, Value
from mmspec.ir.graph import Parameter


def join_projections(graph: Graph) -> Graph:
    """Before: query, key and value are three linear layers of one input, gate and up of a gated feed-forward two.
    After: one matrix product whose result is split; the parameters have the names that they had."""
    readers: dict[int, list[Op]] = {}
    for op in graph.ops:
        if op.kind == "linear" and "shares" not in op.attributes:
            readers.setdefault(id(op.inputs[0]), []).append(op)
    ops: list[Op] = []
    for op in graph.ops:
        together = readers.get(id(op.inputs[0]), []) if op.kind == "linear" else []
        if op not in together or len(together) == 1:
            ops.append(replace(op, bodies=tuple(map(join_projections, op.bodies))) if op.bodies else op)
        elif op is together[0]:
            ops.append(_joined(together))
    return replace(graph, ops=tuple(ops))


def _joined(layers: Sequence[Op]) -> Op:
    outputs: tuple[Value, ...] = tuple(op.outputs[0] for op in layers)
    parts = tuple((op.name, op.attributes["width"], op.attributes["bias"]) for op in layers)
    parameters: tuple[Parameter, ...] = tuple(
        replace(parameter, name=f"{op.name}.{parameter.name}") for op in layers for parameter in op.parameters
    )
    name = "_".join(op.name for op in layers)
    return Op("projections", name, layers[0].inputs, outputs, {"parts": parts}, parameters)
