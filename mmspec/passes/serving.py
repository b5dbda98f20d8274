"""The form that is exported: inference only."""

from __future__ import annotations

from dataclasses import replace

from mmspec.ir import Graph, Op, Value


def keep_inference_outputs(graph: Graph) -> Graph:
    """Before: heads, and what objectives need beside them.   After: heads, and what the spec asked for."""
    outputs = {name: value for name, value in graph.outputs.items() if name not in graph.training}
    return replace(graph, outputs=outputs, training=frozenset())


RANDOM = ("dropout", "drop_path", "jitter", "noise", "gumbel")  # in training; at inference what they are handed first


def drop_dropout(graph: Graph) -> Graph:
    """Before: dropout and noise, the identity at inference.   After: their input in their place, in every scope."""
    instead: dict[int, Value] = {}
    ops: list[Op] = []

    def current(value: Value) -> Value:
        return instead.get(id(value), value)

    for op in graph.ops:
        inputs = tuple(map(current, op.inputs))
        if op.kind in RANDOM:
            instead[id(op.outputs[0])] = inputs[0]
        else:
            ops.append(replace(op, inputs=inputs, bodies=tuple(map(drop_dropout, op.bodies))))
    outputs = {name: current(value) for name, value in graph.outputs.items()}
    return replace(graph, ops=tuple(ops), outputs=outputs)
