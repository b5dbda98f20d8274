"""A tree with holes, together with what was chosen for them: its data, the places in it, and what is still open.

Keys name places through choices: `fusion.joint[gated].depth` is `depth` in the alternative `gated` of the choice at `fusion.joint`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmspec.spec.domains import Choice, Domain, Range, as_domain, first
from mmspec.spec.source import Position
from mmspec.spec.tree import Hole, List, Map, Node, Path, Value, best_position, child, key_position

Chosen = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the tree with the key that leads to it. `path` may be longer than what was written: see `whole`."""

    node: Node
    key: Position | None
    whole: bool  # False where the path goes on below what was written; then this is its nearest written ancestor

    @property
    def position(self) -> Position | None:
        return best_position(self.node, self.key)


def step(key: str, name: str | int) -> str:
    return f"{key}.{name}" if key else str(name)


def settle(node: Node, key: str, chosen: Chosen) -> tuple[Node, str]:
    """The node that stands in a hole, and its key; any other node is itself."""
    while isinstance(node, Hole):
        value = chosen[key] if key in chosen else first(node)
        if isinstance(node, Range):
            return Value(value, node.position), key
        assert isinstance(node, Choice)
        index = node.index(value)
        assert index is not None
        key = f"{key}[{node.values[index]}]"
        node = node.nodes[index]
    return node, key


def data(node: Node, key: str, chosen: Chosen) -> Any:
    """Plain data with every hole filled; lists as tuples."""
    if isinstance(node, Value):
        return node.value
    if isinstance(node, Map):
        return {
            name: item.value if isinstance(item, Value) else data(item, step(key, name), chosen)
            for name, item in node.entries.items()
        }
    if isinstance(node, List):
        return tuple(data(item, step(key, i), chosen) for i, item in enumerate(node.items))
    return data(*settle(node, key, chosen), chosen)


def find(root: Node, path: Path, chosen: Chosen) -> Place:
    """Where a path leads, or its nearest written ancestor."""
    node, key = settle(root, "", chosen)
    written: Position | None = None
    for name in path:
        below = child(node, name)
        if below is None:
            return Place(node, written, False)
        written = key_position(node, name)
        node, key = settle(below, step(key, name), chosen)
    return Place(node, written, True)


def key_of(root: Node, path: Path, chosen: Chosen) -> str:
    """The key of a path through the alternatives that are chosen (or taken by default): "fusion.joint[gated].depth"."""
    node: Node | None = root
    key = ""
    for name in path:
        if node is not None:
            node, key = settle(node, key, chosen)
            node = child(node, name)
        key = step(key, name)
    return key


def open_domains(root: Node, chosen: Chosen) -> Iterator[Domain]:
    """What is not chosen yet, in the order of the tree; a domain before those that depend on it."""
    stack: list[tuple[Node, str, Path, tuple[tuple[str, Any], ...]]] = [(root, "", (), ())]
    while stack:
        node, key, path, condition = stack.pop()
        below: list[tuple[Node, str, Path, tuple[tuple[str, Any], ...]]] = []
        if isinstance(node, Map):
            below = [(item, step(key, name), (*path, name), condition) for name, item in node.entries.items()]
        elif isinstance(node, List):
            below = [(item, step(key, i), (*path, i), condition) for i, item in enumerate(node.items)]
        elif isinstance(node, Hole):
            if key in chosen:
                below = [(*settle(node, key, chosen), path, condition)]
            else:
                yield as_domain(key, path, node, condition)
                if isinstance(node, Choice):
                    below = [
                        (item, f"{key}[{value}]", path, (*condition, (key, value)))
                        for value, item in zip(node.values, node.nodes, strict=True)
                    ]
        stack.extend(reversed([item for item in below if not isinstance(item[0], Value)]))
