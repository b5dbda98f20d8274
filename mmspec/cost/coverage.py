"""What a price does not cover: operations of which no rule says what they cost. They are listed, and no total is made without
them. Each is given once, however many blocks it stands in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mmspec.ir import Graph
from mmspec.ir.found import found_once
from mmspec.ir.graph import owned

FIGURES = {"flops": "FLOPs", "numbers": "parameters", "held": "memory"}


@dataclass(frozen=True)
class Hole:
    """An operation without a price.   path: its module's, blocks without numbers;   module: what is called;   lacks: of FIGURES"""

    path: str
    kind: str
    module: str
    lacks: tuple[str, ...]

    @property
    def node(self) -> str:
        return self.path.partition(".")[0]

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "kind": self.kind,
            "module": self.module,
            "lacks": [FIGURES[name] for name in self.lacks],
        }

    def __str__(self) -> str:
        return f"{self.path} ({self.module}) declares no {' and no '.join(FIGURES[name] for name in self.lacks)}"


@found_once
def holes(graph: Graph) -> tuple[Hole, ...]:
    """In the order in which they run."""
    found: list[Hole] = []
    for op in graph.ops:
        if op.kind == "opaque" and (lacks := tuple(name for name in FIGURES if op.attributes[name] is None)):
            found.append(Hole(op.name, op.kind, op.attributes["module"], lacks))
        for body, _ in owned(op):
            found += [replace(hole, path=f"{op.name}.{hole.path}") for hole in holes(body)]
    return tuple(dict.fromkeys(found))


def reason(found: tuple[Hole, ...], figure: str) -> str:
    """Why a total is not known that they lack a part of."""
    named = ", ".join(f"{hole.path} ({hole.module})" for hole in found if figure in hole.lacks)
    return f"{named} declares no {FIGURES[figure]}; --exact finds them by running it"


def without(found: tuple[Hole, ...], entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Nodes, or what is inside them, as plain data: what a hole is part of is None."""
    return [_without(found, entry) for entry in entries] if found else entries


def _without(found: tuple[Hole, ...], entry: dict[str, Any]) -> dict[str, Any]:
    path = entry.get("path", entry.get("name"))
    inside = [hole for hole in found if hole.path == path or hole.path.startswith(f"{path}.")]
    lacks = {name for hole in inside for name in hole.lacks}
    entry = dict(entry)
    if "flops" in lacks:
        entry |= {name: None for name in entry if "flops" in name or name in ("forward", "backward")}
    if "numbers" in lacks:
        entry |= {name: None for name in entry if name in ("parameters", "active")}
    if "memory" in entry:
        unknown = {"weights": "numbers" in lacks, "activations": "held" in lacks}
        entry["memory"] = {name: None if unknown[name] else value for name, value in entry["memory"].items()}
    if "children" in entry:
        entry["children"] = without(tuple(inside), entry["children"])
    return entry
