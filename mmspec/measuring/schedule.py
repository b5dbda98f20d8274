"""What runs in one pass of a model, as the few different operations that it is made of, and how often each of them runs.

Two operations are the same where kind, attributes and the shapes and types of inputs and weights are: a transformer of any depth
has about a dozen. Some things are measured whole, as one operation: a layer of experts, a loop, and of a stack that samples may
leave everything but its blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mmspec.cost import Sizes
from mmspec.ir import PRIMITIVES, Graph, Op, Value
from mmspec.ir.primitives import shape_text
from mmspec.passes.serving import RANDOM

AT_HAND = ("parameter", "constant", "define", "functions")  # nothing runs
SCOPE = "scope"  # what it costs to enter a module and to leave it


@dataclass(frozen=True)
class Step:
    """An operation, or the entry into a scope (`op` is None), and how often it runs in one pass.

    key     of what is the same; `label` says the same for people
    node    the model's part that it belongs to; "" for what is done to inputs
    """

    key: str
    label: str
    times: int
    node: str
    op: Op | None = None


def schedule(graph: Graph, sizes: Sizes) -> Iterator[Step]:
    """Every operation of a whole model's graph, with every sample going on to the last exit."""
    for op in graph.ops:
        yield from _steps(op, sizes, 1, op.name if op.kind == "call" else "", {})


def parts(op: Op) -> tuple[tuple[Graph, int], ...]:
    """The graphs inside of an operation that are looked into, and how often each runs."""
    if op.kind == "call":
        return ((op.bodies[0], 1),)
    if op.kind == "repeat" or (op.kind == "stages" and keeps_shapes(op)):
        return tuple((body, op.attributes["order"].count(index)) for index, body in enumerate(op.bodies))
    return ()


def keeps_shapes(op: Op) -> bool:
    """Whether blocks that hand on what they were handed could stand in for those of a stack."""
    number = op.attributes["carried"]
    ends = ((body.inputs[:number], tuple(body.outputs.values())[:number]) for body in op.bodies)
    return all(a.shape == b.shape for before, after in ends for a, b in zip(before, after, strict=True))


def identity(op: Op) -> Op:
    """A stack whose blocks hand on what they were handed: what a stack costs besides its blocks."""
    attributes = dict(op.attributes)
    outputs = op.outputs[: len(op.outputs) - bool(attributes["balance"])]
    attributes["balance"] = False
    names = [f"carried{i}" for i in range(attributes["carried"])]
    bodies = tuple(  # there are fewer names than inputs
        replace(body, ops=(), outputs=dict(zip(names, body.inputs, strict=False))) for body in op.bodies
    )
    return replace(op, attributes=attributes, bodies=bodies, outputs=outputs)


def _steps(op: Op, sizes: Sizes, times: int, node: str, views: Mapping[int, str]) -> Iterator[Step]:
    if op.kind in AT_HAND:
        return
    if op.kind in ("call", "repeat"):
        entered = sum(count for _, count in parts(op))
        yield Step(SCOPE, SCOPE, times * entered, node)
    else:
        shell = identity(op) if parts(op) else op
        said = described(shell, sizes, views)
        yield Step(hashlib.sha256(said.encode()).hexdigest()[:24], label(op, sizes), times, node, op)
    for body, count in parts(op):
        inner: dict[int, str] = {}
        for each in body.ops:
            yield from _steps(each, sizes, times * count, node, inner)
            if PRIMITIVES[each.kind].is_view(each) and each.inputs:  # who reads a view reads it where it lies
                source = inner.get(id(each.inputs[0]), "")
                here = "" if each.kind in RANDOM else f".{each.kind}{_attributes(each)}"
                inner[id(each.outputs[0])] = source + here


def described(op: Op, sizes: Sizes, views: Mapping[int, str] | None = None) -> str:
    """All that decides how long an operation takes."""
    inputs = " ".join(_value(value, sizes) + (views or {}).get(id(value), "") for value in op.inputs)
    weights = " ".join(f"{parameter.shape}{parameter.buffer}" for parameter in op.parameters)
    bodies = " ".join(_body(body, sizes) for body in op.bodies)
    return f"{op.kind} {_attributes(op)} ({inputs}) [{weights}] {{{bodies}}}"


def label(op: Op, sizes: Sizes) -> str:
    """linear [1, 197, 768] -> [1, 197, 3072]"""
    read = " x ".join(shape_text(sizes(value)) for value in op.inputs if value.dtype != "function" and value.shape)
    return f"{op.kind} {read or 'nothing'} -> {shape_text(sizes(op.outputs[0]))}"


def _value(value: Value, sizes: Sizes) -> str:
    if value.function is not None:
        return f"<{_body(value.function, sizes)}>"
    return f"{shape_text(sizes(value))}{value.dtype}{'?' if value.optional else ''}"


def _attributes(op: Op) -> str:
    """How often dropout strikes and what layers are called changes nothing."""
    said: dict[str, Any] = {}
    for name, value in sorted(op.attributes.items()):
        if name not in ("p", "shares"):
            said[name] = [part[1:] for part in value] if op.kind == "projections" and name == "parts" else value
    return str(said)


def _body(graph: Graph, sizes: Sizes) -> str:
    inputs = " ".join(_value(value, sizes) for value in graph.inputs)
    return f"({inputs}): {'; '.join(described(op, sizes) for op in graph.ops)}"
