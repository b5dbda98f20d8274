"""What stands inside a box: the sublayers of a component, read off its scope.

    patches 8 x 8                  a layer with parameters of its own
    [ self-attention    4 heads ]
    [ cross-attention   4 heads ]  x 2     a stack, its block once
    [ gate                      ]
    [ experts            2 of 4 ]

Norms, residuals, dropout and the arithmetic between them are left out; a projection that only feeds a gate or a softmax is
part of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from mmspec.ir import Graph, Op
from mmspec.ir.dims import Dim


@dataclass(frozen=True)
class Chip:
    """One sublayer."""

    label: str
    detail: str = ""


@dataclass(frozen=True)
class Lane:
    """The sublayers of one of several streams that run side by side."""

    label: str
    chips: tuple[Chip, ...]


@dataclass(frozen=True)
class Stack:
    """A block that is there `count` times; `exit` says when a sample leaves after one of them."""

    count: int
    parts: tuple[Part, ...]
    exit: str = ""


Part = Chip | tuple[Lane, ...] | Stack


def parts(graph: Graph) -> tuple[Part, ...]:
    """The sublayers of a scope, in the order in which they run."""
    found: list[Part] = []
    lanes: list[Lane] = []
    for op in graph.ops:
        if op.kind == "call" and _is_stream(op):
            inner = tuple(part for part in parts(op.bodies[0]) if isinstance(part, Chip))
            lanes.append(Lane(op.name, inner))
            continue
        if lanes:
            found.append(tuple(lanes))
            lanes = []
        found.extend(_parts(op, graph))
    if lanes:
        found.append(tuple(lanes))
    return tuple(found)


def _parts(op: Op, graph: Graph) -> Iterator[Part]:
    match op.kind:
        case "loop":
            yield Stack(op.attributes["count"], parts(op.bodies[0]), "halts")
        case "repeat" | "stages":
            for order in _runs(op.attributes["order"]):
                stack = Stack(
                    len(order), tuple(part for body in order[0] for part in parts(op.bodies[body])), _exit(op)
                )
                yield from (stack,) if stack.count > 1 or stack.exit else stack.parts
        case "experts":
            yield _experts(op)
        case "call":
            yield _call(op)
        case "convolution":
            yield Chip(_words(op.name), " × ".join(map(str, op.attributes["kernel"])))
        case "power_spectrum":
            window, frequencies = op.inputs[1].shape[1], op.outputs[0].shape[1]
            yield Chip("spectrum", f"{window} samples → {frequencies}")
        case "embedding":
            yield Chip(_words(op.name), f"{op.attributes['rows']} × {op.attributes['width']}")
        case "linear" if not _feeds_an_activation(op, graph):
            name = "linear" if op.name == "output" else _words(op.name)
            yield Chip(name, f"{op.inputs[0].width} → {op.outputs[0].width}")
        case "sigmoid" | "softmax" if op.outputs[0].name != op.kind:
            yield Chip(_words(op.outputs[0].name), op.kind)
        case "parameter":
            yield Chip("+ " + _words(op.name), " × ".join(map(str, op.outputs[0].shape)))
        case "pool":
            yield Chip(f"{op.attributes['how']} pool", "")
        case "span_means":
            yield Chip("temporal pyramid", " + ".join(map(str, op.attributes["scales"])))
        case "concat" if op.attributes.get("axis") == 1 and op.outputs[0].dtype == "f32":
            yield Chip("in a row", f"{op.outputs[0].tokens} tokens")
        case "opaque":
            yield Chip(_words(op.name) or "module", "")


def _call(op: Op) -> Chip:
    body = op.bodies[0]
    experts = next((inner for inner in body.ops if inner.kind == "experts"), None)
    if experts is not None:
        return _experts(experts, op.name)
    heads, hidden = body.arguments.get("heads"), body.arguments.get("hidden")
    if heads is not None:
        return Chip(_words(op.name), f"{heads} heads" if heads != 1 else "1 head")
    if hidden is not None:
        return Chip(_words(op.name), f"{body.arguments['width']} → {hidden}")
    return Chip(_words(op.name), "")


def _experts(op: Op, name: str = "feed_forward") -> Chip:
    label = "experts" if name == "feed_forward" else f"{_words(name)} experts"
    return Chip(label, f"{op.attributes['met']} of {op.attributes['count']}")


def _runs(order: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Blocks of several kinds as what repeats: (0, 1, 0, 1) is (0, 1) twice; what does not repeat comes kind by kind."""
    for period in range(1, len(order) // 2 + 1):
        if len(order) % period == 0 and order == order[:period] * (len(order) // period):
            yield (order[:period],) * (len(order) // period)
            return
    for kind, run in groupby(order):
        yield ((kind,),) * len(tuple(run))


def _is_stream(op: Op) -> bool:
    """A call whose body is made of sublayers itself, rather than being one."""
    kinds = {inner.kind for inner in op.bodies[0].ops}
    return "call" in kinds and "experts" not in kinds


def _exit(op: Op) -> str:
    if op.kind != "stages":
        return ""
    threshold = op.attributes["threshold"]
    if op.attributes["criterion"] != "Confidence":
        return "early exit"
    levels = threshold if isinstance(threshold, tuple) else (threshold,)
    low, high = min(levels), max(levels)
    return f"p > {low:.3g}" if low == high else f"p > {low:.3g} to {high:.3g}"


def _feeds_an_activation(op: Op, graph: Graph) -> bool:
    """Whether what a projection gives goes into a gate or a softmax of the same scope."""
    reached = set(map(id, op.outputs))
    for other in graph.ops:
        if any(id(value) in reached for value in other.inputs):
            if other.kind in ("sigmoid", "softmax"):
                return True
            if not other.bodies:
                reached |= set(map(id, other.outputs))
    return False


def _words(name: str) -> str:
    """self_attention -> self-attention, adapt_text -> adapt text"""
    for whole in ("self_attention", "cross_attention", "feed_forward"):
        name = name.replace(whole, whole.replace("_", "-"))
    return name.replace("_", " ")


def shape_text(shape: tuple[Dim, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
