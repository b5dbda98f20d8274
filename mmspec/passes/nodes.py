"""The nodes of one model in its root scope: each a scope of its own, emitted by its component or known from a spec before."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Sequence
from functools import cache, lru_cache
from pathlib import PurePath
from typing import Any

from mmspec.ir import Program, Scope, ShapeError, Value
from mmspec.passes.remembering import Event, Lowered, keep, origin_of, recall, signature
from mmspec.passes.ties import owners
from mmspec.spec import Component, ModelSpec, WiredNode
from mmspec.spec.memory import Same


class Reported(ShapeError):
    """Raised through the stack that asked for a head after the head's own problem has been noted."""

    def __init__(self) -> None:
        super().__init__("")


class Nodes:
    """Emits nodes, and answers what their components ask of the model.   `problem` is told of heads that do not fit."""

    def __init__(self, spec: ModelSpec, title: str, problem: Callable[[WiredNode, ShapeError], None]) -> None:
        self.spec, self.problem = spec, problem
        self.program = Program(self.define_head, self.port_read, self.model_input, self.note)
        self.root = Scope(title, program=self.program)
        self.inputs: dict[str, Value] = {}
        self.heads: dict[str, Value] = {}  # heads that a halting stack has asked for, as functions
        self.notes: list[str] = []
        self.sources: Sequence[Value] = ()  # of the node that is being emitted
        self.events: list[Event] = []  # while it is
        self.owners = owners(spec)

    def input(self, name: str, component: Any) -> Value:
        value: Value = component.emit(self.root, name)
        self.inputs[name] = value
        return value

    def call(self, node: WiredNode, sources: Sequence[Value]) -> Any:
        """What the node makes of its sources.   Raises ShapeError; Reported: its problem has been told already"""
        doc = self.describe(self.owner(node))
        self.sources, self.events = sources, []
        key = self.key(node, doc, sources)
        known = recall(self.spec.memory, key, self.answer)
        if known is None:
            known, received = self.emitted(node, doc, sources)
            keep(self.spec.memory, key, known)
        else:
            self.repeat(known.events)
            received = tuple(map(self.value, known.origins))
        return self.root.place(node.name, known.closed, received, self.owners.get(node.name, ""))

    def emitted(self, node: WiredNode, doc: str, sources: Sequence[Value]) -> tuple[Lowered, tuple[Value, ...]]:
        component: Any = node.component
        check_number(component, len(sources))
        closed, received = self.root.closed(
            node.name, type(component).__name__, component.emit, sources, doc, arguments(component),
            not component.frozen and component.average_of is None,
        )  # fmt: skip
        origins = tuple(origin_of(value, sources, self.inputs, self.heads) for value in received)
        return Lowered(closed, origins, tuple(self.events)), received

    def key(self, node: WiredNode, doc: str, reads: Sequence[Value]) -> Hashable:
        """What a node's scope depends on, beside what it asks for."""
        limits = tuple(self.program.limits.items())
        return node.path, Same(node.component), doc, limits, signature(reads)

    def value(self, origin: tuple[str, int | str]) -> Value:
        """The value out here that a node receives."""
        kind, which = origin
        if kind == "head":
            return self.heads[str(which)]
        if kind == "input":
            return self.inputs[str(which)]
        source = self.sources[int(which)]
        value = source.mask if kind == "mask" else source
        assert value is not None
        return value

    def repeat(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "note":
                self.note(event.name)
            elif event.kind == "head" and event.name not in self.heads:
                assert event.function is not None
                shares = self.owners.get(event.name, "")
                self.heads[event.name] = self.root.defined(event.name, event.function, shares)

    # what components ask of the model ---------------------------------------------------------------------------------

    def answer(self, kind: str, name: str) -> Hashable:
        """All that matters of what is answered: the function of a head, the part of a node that a head reads, an input."""
        if kind == "head":
            node, known = self.head(name), self.heads.get(name)
            shares, function = self.owners.get(name, ""), None if known is None else Same(known.function)
            return Same(node.component), self.describe(node), shares, function
        if kind == "port":
            return self.head(name).sources[0].port
        value = self.inputs[name]
        at = next((number for number, source in enumerate(self.sources) if source is value), None)
        return at, signature((value,))

    def asked(self, kind: str, name: str) -> Event:
        event = Event(kind, name, self.answer(kind, name))
        if not any(earlier[:2] == event[:2] for earlier in self.events):
            self.events.append(event)
        return event

    def define_head(self, name: str, like: Value) -> Value:
        node = self.head(name)
        before = self.answer("head", name)
        if name not in self.heads:
            try:
                self.define(node, like)
            except ShapeError as error:
                self.problem(node, error)
                raise Reported from error
        if not any(event[:2] == ("head", name) for event in self.events):
            self.events.append(Event("head", name, before, self.heads[name].function))
        return self.heads[name]

    def define(self, node: WiredNode, like: Value) -> None:
        component: Any = node.component
        name, doc, shares = node.name, self.describe(node), self.owners.get(node.name, "")
        key = ("function", self.key(node, doc, (like,)))
        known = self.spec.memory.get(key)
        if known is None:
            began = len(self.events)
            self.heads[name] = self.root.define(
                name, type(component).__name__, component.emit, like, doc=doc, arguments=arguments(component),
                trainable=not component.frozen, shares=shares,
            )  # fmt: skip
            events = self.events[began:]
            if all(event.kind == "note" for event in events):
                self.spec.memory.keep(key, (self.heads[name].function, tuple(events)))
        else:
            function, events = known
            self.repeat(events)
            self.heads[name] = self.root.defined(name, function, shares)

    def port_read(self, head: str) -> str:
        return str(self.asked("port", head).answer)

    def model_input(self, name: str) -> Value:
        self.asked("input", name)
        return self.inputs[name]

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.events.append(Event("note", text))

    # of the spec ------------------------------------------------------------------------------------------------------

    def head(self, name: str) -> WiredNode:
        return next(node for node in self.spec.nodes if node.path == f"heads.{name}")

    def owner(self, node: WiredNode) -> WiredNode:
        """Whose module computes it."""
        if not self.owners:
            return node
        name = self.owners.get(node.name, node.name)
        return next(each for each in self.spec.nodes if each.name == name)

    def describe(self, node: WiredNode) -> str:
        position = self.spec.at(node.path)  # its file by name only: what is written must not depend on where it was
        said = summary(type(node.component))
        return said if position is None else f"{said} ({file_name(position.source.name)}:{position.line})"


@lru_cache(256)
def file_name(path: str) -> str:
    return PurePath(path).name


@cache
def summary(component: type[Component]) -> str:
    return (component.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").strip()


@cache
def numbers_read(component: type[Component]) -> tuple[int, float]:
    """How many values a component reads, at least and at most."""
    read = list(inspect.signature(component.emit).parameters.values())[2:]  # type: ignore[attr-defined]  # after self and g
    least = sum(p.default is p.empty and p.kind is not p.VAR_POSITIONAL for p in read)
    return least, math.inf if any(p.kind is p.VAR_POSITIONAL for p in read) else len(read)


def check_number(component: Any, found: int) -> None:
    """Raises ShapeError: a component reads another number of values than it is given"""
    kind: type[Component] = type(component)
    least, most = numbers_read(kind)
    if not least <= found <= most:
        wanted = f"{least}" if least == most else f"at least {least}" if most == math.inf else f"{least} to {most}"
        raise ShapeError(f"a {component.type} reads {wanted}, and here it is given {found}", "from")


def arguments(component: Component) -> dict[str, Any]:
    """What a person said of a component: its type, and its fields as far as they were written."""
    said: dict[str, Any] = {"type": component.type}  # type: ignore[attr-defined]
    fields = type(component).model_fields
    own = type(component).__annotations__
    for name in sorted(fields, key=lambda name: name not in own):  # what is its own before what it shares
        if name not in component.model_fields_set or name in ("type", "from_", "frozen"):
            continue
        value = getattr(component, name)
        said[fields[name].alias or name] = _in_short(value)
    return said


def _in_short(value: Any) -> Any:
    """A component as its type with what was said of it: top_k(experts=4, k=2)."""
    if isinstance(value, tuple) and any(isinstance(item, Component) for item in value):
        return "[" + ", ".join(map(str, map(_in_short, value))) + "]"
    if not isinstance(value, Component):
        return value
    inner = arguments(value)
    return inner.pop("type") + ("(" + ", ".join(f"{k}={v}" for k, v in inner.items()) + ")" if inner else "")
