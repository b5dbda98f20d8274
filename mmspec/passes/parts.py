"""Parts of a graph without scopes, as graphs of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmspec.ir import PRIMITIVES, Graph, Op, Shape, Value
from mmspec.ir.graph import Parameter
from mmspec.passes.flattening import owned_once


@dataclass
class Made:
    """Operations of a graph that is being made."""

    ops: list[Op] = field(default_factory=list)

    def emit(self, kind: str, *inputs: Value, **attributes: Any) -> Value:
        shape, dtype = PRIMITIVES[kind].infer(*inputs, **attributes)
        value = Value(kind, shape, dtype, inputs[0].scope)
        self.ops.append(Op(kind, "", inputs, (value,), attributes))
        return value


def part_of(
    flat: Graph, name: str, inputs: Sequence[Value], ops: Sequence[Op], outputs: Mapping[str, Value],
    limits: Mapping[str, int],
) -> Graph:  # fmt: skip
    """What leads to the outputs, as a graph of its own, with the inputs that it reads."""
    leading = leading_to(ops, outputs.values())
    read = {id(value) for op in leading for value in op.inputs} | set(map(id, outputs.values()))
    inputs = tuple(sorted((value for value in inputs if id(value) in read), key=lambda value: value.optional))
    return replace(
        flat, name=f"{flat.name}{name}", inputs=inputs, ops=owned_once(map(_alone, leading)), outputs=dict(outputs), limits=limits,
        notes=(),
    )  # fmt: skip


def _alone(op: Op) -> Op:
    """The operation with a module of its own again: whose it was may be in another graph."""
    if "shares" not in op.attributes:
        return op
    attributes = {name: said for name, said in op.attributes.items() if name != "shares"}
    parameters: tuple[Parameter, ...] = PRIMITIVES[op.kind].parameters(*op.inputs, **attributes)
    return replace(op, attributes=attributes, parameters=parameters)


def leading_to(ops: Sequence[Op], values: Iterable[Value]) -> list[Op]:
    needed = set(map(id, values))
    found: list[Op] = []
    for op in reversed(ops):
        if any(id(value) in needed for value in op.outputs):
            needed.update(map(id, op.inputs))
            found.append(op)
    return found[::-1]


def depending(ops: Iterable[Op], given: Collection[int]) -> set[int]:
    """The values that depend on the given ones, themselves included."""
    found = set(given)
    for op in ops:
        if any(id(value) in found for value in op.inputs):
            found.update(map(id, op.outputs))
    return found


def port_of(name: str, value: Value) -> Value:
    return Value(name, value.shape, value.dtype, value.scope)


def reshaped(value: Value, shape: Shape) -> Value:
    return Value(value.name, shape, value.dtype, value.scope, bound=value.bound)
