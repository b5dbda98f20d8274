"""Nodes that were lowered before: what a node means depends on its component and on what it reads, and on little else.

A node's scope is a pure function of its component, of the shapes, masks and names of what it reads, of the largest sizes, and
of what it asks for on the way: a head that is applied at its exits, the part that the head reads, an input that a router looks at.
What it asks for is recorded with the answers, so that the scope is placed again only where all answers are the same; what it says
is recorded too, and said again. The memory belongs to a family of specs (`mmspec.spec.memory`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mmspec.ir import Graph, Value
from mmspec.ir.calls import Closed
from mmspec.spec.memory import Memory, Same


class Event(NamedTuple):
    """What happened while a node was emitted: it said something ("note"), or asked for what is called `name` ("head", "port",
    "input") and got something, of which `answer` is all that matters; of a head, its function."""

    kind: str
    name: str
    answer: Hashable = None
    function: Graph | None = None


Origin = tuple[str, int | str]  # ("source", 0), ("mask", 0), ("head", "label"), ("input", "task")


@dataclass(frozen=True, eq=False)
class Lowered:
    """A node's scope, where what it receives comes from, and what happened."""

    closed: Closed
    origins: tuple[Origin, ...]
    events: tuple[Event, ...]


def recall(memory: Memory, key: Hashable, answer: Callable[[str, str], Hashable]) -> Lowered | None:
    """The node that was lowered from the same, if it would be answered the same by `answer(kind, name)`."""
    questions: tuple[tuple[str, str], ...] | None = memory.get(key)
    if questions is None:
        return None
    known: Lowered | None = memory.get((key, tuple(answer(*question) for question in questions)))
    return known


def keep(memory: Memory, key: Hashable, lowered: Lowered) -> None:
    asked = [event for event in lowered.events if event.kind != "note"]
    memory.keep(key, tuple((event.kind, event.name) for event in asked))
    memory.keep((key, tuple(event.answer for event in asked)), lowered)


def origin_of(
    value: Value, sources: Sequence[Value], inputs: Mapping[str, Value], heads: Mapping[str, Value]
) -> Origin:
    """Where a value comes from that a node has received."""
    for number, source in enumerate(sources):
        if source is value:
            return "source", number
        if source.mask is value:
            return "mask", number
    for kind, named in (("head", heads), ("input", inputs)):
        for name, known in named.items():
            if known is value:
                return kind, name
    raise AssertionError(f"{value.name} came from nowhere")


def signature(values: Sequence[Value]) -> Hashable:
    """All that a node can see of what it reads: equal for values that look alike, and of which the same ones are the same."""
    numbers: dict[int, int] = {}

    def seen(value: Value) -> Hashable:
        function = None if value.function is None else Same(value.function)
        number = numbers.setdefault(id(value), len(numbers))
        return number, value.name, value.shape, value.dtype, value.bound, value.rate, function

    return tuple((seen(value), None if value.mask is None else seen(value.mask)) for value in values)
