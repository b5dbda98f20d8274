"""Changes by path: `--set fusion.joint.depth=4`, a variant's `{encoders.image.width: 64}`, a study's `space`, a program's `choose`.

A path leads through what is written and through what could be: a field that was left at its default, a slot given by its bare type.
A domain on the way stands for its alternative that is chosen (or its default); `fusion.joint[gated].depth` names another. What is
put in place of a domain closes it; a map is merged, as in `extends`; null takes a value back to its default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mmspec.spec.catalogue import Catalogue
from mmspec.spec.complaints import record_in
from mmspec.spec.component import Component, field_names, is_concrete
from mmspec.spec.diagnostics import Diagnostic, SpecError, did_you_mean, listing
from mmspec.spec.domains import Choice, values_of
from mmspec.spec.reader import read_tree
from mmspec.spec.reuse import merge
from mmspec.spec.roles import SECTIONS
from mmspec.spec.selection import step
from mmspec.spec.source import Position, Source
from mmspec.spec.tree import Hole, List, Map, Node, Value, child, from_data, with_child

TOP = ("name", "description", *SECTIONS, "outputs", "weights")

_STEP = re.compile(r"([^.\[\]]+)((?:\[[^\[\]]+\])*)")
Step = tuple[str, tuple[str, ...]]  # a name, and the alternatives to take there


def read_override(text: str) -> tuple[str, Position, Node]:
    """ "fusion.joint.depth=4" as a path, its place, and a value read by the same rules as a spec's.

    Raises   SpecError: no path, no value, not YAML.
    """
    source = Source("--set", text.replace("\n", " "), "--set")
    path, equals, value = source.text.partition("=")
    whole = Position(source, 1, 1, 1, len(source.text) + 1)
    if not equals or not path.strip():
        raise SpecError([Diagnostic("expected PATH=VALUE", whole, ("for example fusion.joint.depth=4",))])
    key = Position(source, 1, 1, 1, len(path) + 1)
    if not value.strip():
        raise SpecError(
            [Diagnostic(f"no value for {path.strip()}", key, ("`null` takes a value back to its default",))]
        )
    return path.strip(), key, read_tree(source, " " * (len(path) + 1) + value)


def read_path(text: str, at: Position | None) -> tuple[Step, ...]:
    """A dotted path as steps.

    Raises   SpecError: two dots in a row, a bracket that does not close.
    """
    steps = []
    for part in re.split(r"\.(?![^\[]*\])", text):
        match = _STEP.fullmatch(part)
        if match is None:
            raise SpecError([Diagnostic(f"{text!r} is not a path", at, ("for example fusion.joint.depth",))])
        steps.append((match[1], tuple(re.findall(r"\[([^\[\]]+)\]", match[2]))))
    return tuple(steps)


def put(
    root: Map, path: str, value: Node, catalogue: Catalogue, chosen: Mapping[str, Any], at: Position | None = None
) -> Map:
    """A copy of the tree with `value` at `path`; `at` is where the path is written.

    Raises   SpecError: no such place, with the nearest name.
    """
    edited = _Edit(path, value, catalogue, chosen, at).put(root, read_path(path, at), "", None)
    assert isinstance(edited, Map)
    return edited


class _Edit:
    def __init__(
        self, path: str, value: Node, catalogue: Catalogue, chosen: Mapping[str, Any], at: Position | None
    ) -> None:
        self.path, self.value, self.catalogue, self.chosen, self.at = path, value, catalogue, chosen, at

    def put(self, node: Node, steps: tuple[Step, ...], key: str, owner: type[BaseModel] | None) -> Node | None:
        """What takes the place of `node`; `owner` is the role or record that stands there."""
        if isinstance(node, Hole) and (steps or not self.fills(node)):
            return self.through(node, steps, key, owner, ())
        if not steps:
            return self.placed(node)
        if (
            isinstance(node, Value)
            and isinstance(node.value, str)
            and owner is not None
            and issubclass(owner, Component)
        ):
            node = Map({"type": node}, {"type": node.position}, node.position)
        name, labels = steps[0]
        if not isinstance(node, (Map, List)):
            raise self.wrong(f"there is nothing inside {key!r}")
        below = child(node, name)
        inner = self.owner_below(node, name, key, owner)
        if below is None:
            below = self.unwritten(node, steps, key, owner)
            if below is None:
                return with_child(node, name, self.placed(None), self.at)
        inside = step(key, name)
        if labels:
            if not isinstance(below, Choice):
                raise self.wrong(f"{inside!r} has no alternatives")
            return with_child(node, name, self.through(below, steps[1:], inside, inner, labels))
        return with_child(node, name, self.put(below, steps[1:], inside, inner))

    def fills(self, hole: Hole) -> bool:
        """Whether the value takes the whole place of a domain, which it then closes."""
        return not (
            isinstance(hole, Choice) and isinstance(self.value, Value) and hole.index(self.value.value) is not None
        )

    def placed(self, old: Node | None) -> Node | None:
        if isinstance(self.value, Value) and self.value.value is None:
            return None
        return self.value if old is None or isinstance(old, Hole) else merge(old, self.value)

    def through(
        self, hole: Hole, steps: tuple[Step, ...], key: str, owner: type[BaseModel] | None, labels: tuple[str, ...]
    ) -> Node | None:
        """Into one alternative of a choice; without further steps, that alternative in place of the choice."""
        if not isinstance(hole, Choice):
            raise self.wrong(f"there is nothing inside {key!r}")
        if not steps and not labels:
            assert isinstance(self.value, Value)
            index = hole.index(self.value.value)
            assert index is not None
            return self.value if isinstance(hole.nodes[index], Value) else hole.nodes[index]
        if labels:
            index = next((i for i, value in enumerate(hole.values) if str(value) == labels[0]), None)
        else:
            index = hole.index(self.chosen[key]) if key in self.chosen else hole.default
        if index is None:
            names = listing(hole.values)
            if labels:
                near = did_you_mean(labels[0], map(str, hole.values))
                raise self.wrong(f"{key!r} has no alternative {labels[0]!r}{near}", f"they are: {names}")
            which = f"or say which: {key}[{hole.values[0]}]"
            raise self.wrong(f"{key!r} is still open: choose first", f"{key} may be: {names}", which)
        edited = self.put(hole.nodes[index], steps, f"{key}[{hole.values[index]}]", owner)
        if edited is None:
            raise self.wrong("an alternative cannot be deleted")
        nodes = (*hole.nodes[:index], edited, *hole.nodes[index + 1 :])
        return Choice(hole.position, nodes, values_of(nodes), hole.default)

    def owner_below(
        self, node: Map | List, name: str, key: str, owner: type[BaseModel] | None
    ) -> type[BaseModel] | None:
        """The role or record of what stands under a name."""
        if not key:
            return None
        if "." not in key and owner is None:
            return SECTIONS.get(key)
        record = self.record(node, owner)
        if isinstance(node, List):
            return owner
        field = record.model_fields.get(field_names(record).get(name, "")) if record else None
        return record_in(field.annotation) if field else None

    def record(self, node: Node, owner: type[BaseModel] | None) -> type[BaseModel] | None:
        """The class whose fields the keys of a map are; None where it cannot be told."""
        if owner is None or not issubclass(owner, Component) or is_concrete(owner):
            return owner
        written = child(node, "type")
        return self.catalogue.get(owner, written.value) if isinstance(written, Value) else None

    def unwritten(
        self, node: Map | List, steps: tuple[Step, ...], key: str, owner: type[BaseModel] | None
    ) -> Node | None:
        """What stands under a name that is not written: its default, where the path goes on inside; None for a new value."""
        name = steps[0][0]
        last = len(steps) == 1
        if isinstance(node, List):
            raise self.wrong(f"{key!r} has no item {name!r}", f"it has {len(node.items)}, counted from 0")
        if not key:
            if name in TOP:
                return None if last else Map({}, {})
            known: list[str] = list(TOP)
            raise self.wrong(
                f"there is no section {name!r}{did_you_mean(name, known)}", f"sections are: {listing(known)}"
            )
        if "." not in key and owner is None:
            if last and isinstance(self.value, Map):
                return None  # a new node
            known = list(node.entries)
            raise self.wrong(f"{key!r} has no {name!r}{did_you_mean(name, known)}", f"{key} has: {listing(known)}")
        record = self.record(node, owner)
        if record is None:
            return None if last else Map({}, {})
        fields = field_names(record)
        if name not in fields:
            whose = child(node, "type")
            known = list(fields)
            shown = whose.value if isinstance(whose, Value) else key
            raise self.wrong(f"{key!r} has no {name!r}{did_you_mean(name, known)}", f"{shown} has: {listing(known)}")
        if last:
            return None
        default = record.model_fields[fields[name]].get_default(call_default_factory=True)
        if not isinstance(default, Component):
            raise self.wrong(
                f"there is nothing inside {step(key, name)!r}", "it is not written, and has no parts by default"
            )
        return from_data(default.model_dump(by_alias=True, exclude_unset=True) | {"type": getattr(default, "type", "")})

    def wrong(self, message: str, *notes: str) -> SpecError:
        return SpecError([Diagnostic(f"{self.path}: {message}" if self.at is None else message, self.at, notes)])
