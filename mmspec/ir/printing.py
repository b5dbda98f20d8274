"""A graph as the program it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmspec.ir.graph import Graph, Init, Op, Value, copies
from mmspec.ir.primitives import shape_text

ASIDE = {
    "type",
    "carried",
    "head_inputs",
    "readout",
    "order",
    "grid",
    "shared",
}  # attributes that the rest of the line says already


def text(graph: Graph, nested: bool = False) -> str:
    """One line for each operation; with `nested`, the graphs that operations hold follow, indented."""
    names = value_names(graph, "inputs." if graph.whole else "")
    inputs = ", ".join(
        names[id(value)] if value.dtype == "function" else f"{value.name}: {type_text(value)}" for value in graph.inputs
    )
    lines = [f"graph {graph.doc if graph.whole else graph.name}({inputs})"]
    for op in graph.ops:
        lines.append("  " + line(op, names))
        if nested:
            for body in op.bodies:
                lines += ["    " + inner for inner in text(body, nested=True).splitlines()]
    returned = [_returned(name, value, names, graph.training) for name, value in graph.outputs.items()]
    lines.append("  return {" + ", ".join(returned) + "}")
    return "\n".join(lines)


def line(op: Op, names: Mapping[int, str]) -> str:
    if op.kind == "define":
        outputs = names[id(op.outputs[0])]
    else:
        outputs = ", ".join(f"{names[id(value)]}: {type_text(value)}" for value in op.outputs)
    inputs = ", ".join(names[id(value)] for value in op.inputs)
    arguments: dict[str, Any] = {
        key: value
        for key, value in op.attributes.items()
        if value is not False and value is not None and key not in ASIDE
    }
    kind = op.kind
    if op.kind in ("call", "define"):
        arguments = {key: value for key, value in op.bodies[0].arguments.items() if key != "type"}
        kind = op.bodies[0].arguments.get("type", op.bodies[0].name)
    elif op.bodies:
        kind = f"{op.kind} {' and '.join(body.name for body in op.bodies)}"
    if len(op.bodies) > 1:
        arguments["order"] = op.attributes["order"]
    said = ", ".join(f"{key}: {_plain(value)}" for key, value in arguments.items())
    module = f"{op.name}: " if op.name and op.name != op.outputs[0].name else ""
    applied = "" if op.kind == "define" else f"({inputs})"
    return f"{outputs} = {module}{kind}{applied}" + (f" {{{said}}}" if said else "")


def value_names(graph: Graph, prefix: str = "") -> dict[int, str]:
    """A name for each value of a graph, no two alike. An input whose name a later value bears is told apart by `prefix`."""
    made = {value.name for op in graph.ops for value in op.outputs}
    names: dict[int, str] = {}
    taken: set[str] = set()
    for value in _values(graph):
        name = f"@{value.name}" if value.dtype == "function" else value.name
        if prefix and value in graph.inputs and name in made:
            name = prefix + name
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique)
        names[id(value)] = unique
    return names


def type_text(value: Value) -> str:
    return value.dtype + shape_text(value.shape)


def find(graph: Graph, path: str) -> Graph | None:
    """The graph of a scope by its module's path (`joint.blocks`, `joint.blocks.0.cross_attention`); None where there is none."""
    name, _, rest = path.partition(".")
    for op in graph.ops:
        if op.bodies and op.name == name:
            body = op.bodies[0]
            if op.kind in ("repeat", "stages", "experts"):
                first, _, further = rest.partition(".")
                if first.isdigit() and int(first) < len(copies(op)):
                    body = copies(op)[int(first)]
                rest = further if first.isdigit() or first == "*" else rest
            return find(body, rest) if rest else body
    return None


def _values(graph: Graph) -> Iterable[Value]:
    yield from graph.inputs
    for op in graph.ops:
        yield from op.outputs


def _returned(name: str, value: Value, names: Mapping[int, str], training: frozenset[str]) -> str:
    said = name if names[id(value)] == name else f"{name}: {names[id(value)]}"
    return f"{said} (training)" if name in training else said


def _plain(value: Any) -> str:
    if isinstance(value, (Init, str)):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
