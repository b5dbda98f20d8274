"""What is drawn of a graph: its inputs, nodes and outputs, and what flows between them.

Masks travel with their values and are not drawn. A head that a halting stack applies at its exits is a box of its own, with a
dashed edge from the stack beside the one from the stack's end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mmspec.drawing.sublayers import Part, Stack, parts, shape_text
from mmspec.ir import Graph, Op, parameter_count, parameters


class Priced(Protocol):
    """What a drawing asks of a profile."""

    def to_dict(self) -> dict[str, Any]: ...


@dataclass
class Box:
    """An input, a node or an output."""

    key: str
    role: str  # input, encoder, fusion, decoder, head, output
    name: str
    kind: str = ""  # the component's type; of an input, its shape
    parts: tuple[Part, ...] = ()
    parameters: int | None = None
    active: int | None = None
    flops: int | None = None
    frozen: bool = False
    shares: str = ""  # the node whose weights these are
    summary: str = ""


@dataclass(frozen=True)
class Edge:
    """What flows from one box to another; `port` tells the outputs of a box apart."""

    source: str
    target: str
    label: str
    port: str = ""
    dashed: bool = False


@dataclass
class Diagram:
    name: str
    boxes: dict[str, Box] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    flops: int | None = None
    parameters: int = 0
    batch: int = 1
    lengths: Mapping[str, int] = field(default_factory=dict)  # of texts, at most, by input


def diagram(graph: Graph, profile: Priced | None = None) -> Diagram:
    """The boxes and edges of a model's graph."""
    lengths = {
        value.name: graph.limits[str(dim)]
        for value in graph.inputs
        for dim in value.shape
        if value.dtype != "bool" and str(dim) in graph.limits
    }
    drawn = Diagram(graph.doc or graph.name, parameters=parameter_count(graph), lengths=lengths)
    made: dict[int, tuple[str, str]] = {}  # the box and port that a value comes from, by the value's identity
    heads: dict[int, str] = {}  # the box of a head that is handed on as a function

    for value in graph.inputs:
        if value.dtype != "bool":
            key = f"input {value.name}"
            drawn.boxes[key] = Box(key, "input", value.name, f"{value.dtype}{shape_text(value.shape)}")
            made[id(value)] = key, ""
    for op in graph.ops:
        if op.kind == "define":
            heads[id(op.outputs[0])] = _add(drawn, op, "head")
        elif op.kind == "call":
            key = _call(drawn, op, graph, made, heads)
            for value in op.outputs:
                if value.dtype != "bool" and value.shape:  # neither masks nor losses
                    made.setdefault(id(value), (key, value.name))
        else:  # masks and other plumbing: what comes out is what went in
            for source in op.inputs[:1]:
                if id(source) in made and op.outputs[0].dtype != "bool":
                    made[id(op.outputs[0])] = made[id(source)]
    for name, value in graph.outputs.items():
        if name not in graph.training and id(value) in made:
            key = f"output {name}"
            drawn.boxes[key] = Box(key, "output", name, f"{value.dtype}{shape_text(value.shape)}")
            drawn.edges.append(Edge(made[id(value)][0], key, shape_text(value.shape), made[id(value)][1]))
    if profile is not None:
        _price(drawn, profile.to_dict())
    return drawn


def _add(drawn: Diagram, op: Op, role: str) -> str:
    body = op.bodies[0]
    key = f"node {op.name}"
    while key in drawn.boxes:
        key += "'"
    owned = list(parameters(body))
    drawn.boxes[key] = Box(
        key, role, op.name, _type(body), parts(body), parameter_count(body),
        frozen=bool(owned) and not any(placed.parameter.trainable for placed in owned), summary=body.doc,
        shares=op.attributes.get("shares", ""),
    )  # fmt: skip
    return key


def _call(drawn: Diagram, op: Op, graph: Graph, made: dict[int, tuple[str, str]], heads: dict[int, str]) -> str:
    sources = [value for value in op.inputs if id(value) in made]
    key = _add(drawn, op, _role(op, graph, [made[id(value)][0] for value in sources]))
    for value in sources:
        source, port = made[id(value)]
        drawn.edges.append(Edge(source, key, shape_text(value.shape), port))
    for value in op.inputs:
        head = heads.get(id(value))
        if head is None or value.function is None:
            continue
        seen = value.function.inputs[0]
        drawn.edges.append(Edge(key, head, shape_text(seen.shape), op.outputs[0].name))
        exits = [part.exit for part in drawn.boxes[key].parts if isinstance(part, Stack) and part.exit]
        drawn.edges += [Edge(key, head, "early exit", "exit", dashed=True) for _ in exits]
        for output in op.outputs:
            if output.name == value.name or output.name.startswith(f"{value.name}."):
                made[id(output)] = head, output.name
    return key


def _role(op: Op, graph: Graph, sources: list[str]) -> str:
    """What a node is, where its graph does not say: told from what it reads and who reads it."""
    read = {id(value) for other in graph.ops for value in other.inputs}
    if not any(id(value) in read for value in op.outputs) and len(set(sources)) == 1:
        return "head"
    if len(set(sources)) > 1:
        return "fusion"
    return "encoder" if all(source.startswith("input ") for source in sources) else "decoder"


def _type(body: Graph) -> str:
    """GatedFusion -> gated fusion, unless the graph names the component's type."""
    written = body.arguments.get("type")
    return str(written) if written else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", body.name).lower()


def _price(drawn: Diagram, figures: Mapping[str, Any]) -> None:
    """What a profile knows and a graph does not: FLOPs, active parameters, and the section that a node stands in."""
    drawn.flops, drawn.batch = figures["flops"]["total"], figures["sizes"]["B"]
    nodes = {node["name"]: node for node in figures["nodes"]}
    for box in drawn.boxes.values():
        node = nodes.get(box.name)
        if node is not None and box.role not in ("input", "output"):
            box.flops, box.active, box.role = node["flops"], node["active"], node["role"].removesuffix("s")
