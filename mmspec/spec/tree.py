"""A YAML document as plain data in which every key and value knows its place.

Nodes are never changed once read: an edit (`with_value`) copies the maps on its way and shares the rest, so that several specs can
hold most of one tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from mmspec.spec import scalars
from mmspec.spec.source import Position, Source

Path: TypeAlias = tuple[str | int, ...]


@dataclass(slots=True, eq=False)
class Value:
    """A scalar. Without a position it was not written: a default, or what a program passed."""

    value: scalars.Scalar
    position: Position | None = None


@dataclass(slots=True, eq=False)
class Map:
    """A mapping, with the place of each key."""

    entries: dict[str, Node]
    keys: dict[str, Position | None]
    position: Position | None = None


@dataclass(slots=True, eq=False)
class List:
    items: tuple[Node, ...]
    position: Position | None = None


@dataclass(slots=True, eq=False)
class Hole:
    """A place that is still open: the subclass says what may stand there (see `domains.py`)."""

    position: Position | None

    def alternatives(self) -> tuple[tuple[str, Node], ...]:
        """The nodes that may stand here, each with its label."""
        return ()


BROKEN: Any = object()  # the value of a place about which something was said already; nothing more is said of it


Node: TypeAlias = Value | Map | List | Hole


def dotted(path: Path) -> str:
    return ".".join(map(str, path))


def plain(node: Node) -> Any:
    """The data alone, lists as tuples."""
    if isinstance(node, Value):
        return node.value
    if isinstance(node, Map):
        return {key: plain(child) for key, child in node.entries.items()}
    if isinstance(node, List):
        return tuple(map(plain, node.items))
    raise TypeError("an open domain has no value yet")


def from_data(data: Any, position: Position | None = None) -> Node:
    """The opposite of `plain`, every node at the same place."""
    if isinstance(data, Mapping):
        return Map(
            {str(key): from_data(child, position) for key, child in data.items()},
            dict.fromkeys(map(str, data), position),
            position,
        )
    if isinstance(data, (list, tuple)):
        return List(tuple(from_data(child, position) for child in data), position)
    return Value(data, position)


def child(node: Node | None, step: str | int) -> Node | None:
    """The node one step down; a list's item by its number, also when that is written as text."""
    if isinstance(node, Map):
        return node.entries.get(str(step))
    if isinstance(node, List):
        number = int(step) if isinstance(step, int) or (step.isdecimal() and len(step) < 7) else -1
        return node.items[number] if 0 <= number < len(node.items) else None
    return None


def key_position(node: Node | None, step: str | int) -> Position | None:
    return node.keys.get(str(step)) if isinstance(node, Map) else None


def best_position(node: Node, key: Position | None) -> Position | None:
    """Where to point for a value: at itself, but at its key where it is a collection that begins on a line of its own."""
    place = node.position
    if place is None or key is None or isinstance(node, Value) or key.source is not place.source:
        return place or key
    return place if place.line == key.line and place.end_line == place.line else key


def with_child(node: Map | List, step: str | int, value: Node | None, key: Position | None = None) -> Map | List:
    """A copy with one child replaced, added, or (None) left out."""
    if isinstance(node, List):
        items = list(node.items)
        items[int(step) : int(step) + 1] = [] if value is None else [value]
        return List(tuple(items), node.position)
    name = str(step)
    entries, keys = dict(node.entries), dict(node.keys)
    if value is None:
        entries.pop(name, None), keys.pop(name, None)
    else:
        entries[name], keys[name] = value, keys.get(name) or key
    return Map(entries, keys, node.position)


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, parents first, without recursion."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Map):
            stack.extend(reversed(node.entries.values()))
        elif isinstance(node, List):
            stack.extend(reversed(node.items))
        elif isinstance(node, Hole):
            stack.extend(alternative for _, alternative in reversed(node.alternatives()))


def relabel(node: Node, via: str) -> Node:
    """A copy whose values say how they came in ("variant small"), at the places where they stand."""
    sources: dict[Source, Source] = {}

    def place(position: Position | None) -> Position | None:
        if position is None:
            return None
        source = sources.setdefault(position.source, Source(position.source.name, position.source.text, via))
        return position._replace(source=source)

    def copy(node: Node) -> Node:
        if isinstance(node, Map):
            entries = {key: copy(child) for key, child in node.entries.items()}
            return Map(entries, {key: place(position) for key, position in node.keys.items()}, place(node.position))
        if isinstance(node, List):
            return List(tuple(map(copy, node.items)), place(node.position))
        return Value(node.value, place(node.position)) if isinstance(node, Value) else node

    return copy(node)
