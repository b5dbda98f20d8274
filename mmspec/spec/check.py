"""A tree, with what was chosen for its holes, to components that are wired up; or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from mmspec.spec import averages, defaults, names, ties, wiring
from mmspec.spec.catalogue import Catalogue
from mmspec.spec.complaints import complaints
from mmspec.spec.component import Component
from mmspec.spec.diagnostics import Diagnostic, did_you_mean, in_words, listing, nearest
from mmspec.spec.memory import Memory, Same
from mmspec.spec.overrides import TOP
from mmspec.spec.reader import PROBLEMS_LIMIT
from mmspec.spec.roles import NODE_SECTIONS, SECTIONS, Node
from mmspec.spec.selection import Chosen, data, find
from mmspec.spec.source import Position
from mmspec.spec.tree import List, Map, Path, Value
from mmspec.spec.weights import WHOLE, Weights, entries

WEIGHTS = "weights: {image: {file: vit.safetensors, layout: transformers}}"
SECTION_LIMIT = 256  # components, and what one of them reads

Sections = dict[str, dict[str, Component]]  # objectives by their number


@dataclass(frozen=True)
class WiredNode:
    """A node in its place: what it is and what it reads."""

    path: str  # "encoders.image"
    role: str
    name: str
    component: Component
    sources: tuple[wiring.Source, ...]


@dataclass
class Checked:
    """What became of a tree. `written` are the components before wiring filled in what they left open: kept for the next choice."""

    problems: list[Diagnostic]
    written: Sections
    name: str = ""
    description: str = ""
    sections: Sections = field(default_factory=dict)
    objectives: tuple[Component, ...] = ()
    outputs: tuple[str, ...] = ()
    weights: dict[str, Weights] = field(default_factory=dict)
    nodes: tuple[WiredNode, ...] = ()


def check(
    root: Map,
    chosen: Chosen,
    catalogue: Catalogue,
    name: str,
    previous: Sections | None = None,
    dirty: Iterable[tuple[str, str]] = (),
    memory: Memory | None = None,
) -> Checked:
    """Check a whole spec; `name` is what it is called where it says nothing. With the components that were valid before,
    only the dirty ones are validated again; of those and of the wiring, what `memory` holds is taken from there."""
    changed = None if previous is None else set(dirty)
    return _Check(root, chosen, catalogue, previous or {}, changed, Memory() if memory is None else memory).run(name)


@dataclass(frozen=True, eq=False)
class _Wired:
    """The nodes as they are written and in the order of computation, with what they read."""

    declared: list[wiring.Declared]
    ordered: list[wiring.Declared]
    names: wiring.Names


class _Check:
    def __init__(
        self,
        root: Map,
        chosen: Chosen,
        catalogue: Catalogue,
        previous: Sections,
        dirty: set[tuple[str, str]] | None,
        memory: Memory,
    ) -> None:
        self.root, self.chosen, self.catalogue = root, chosen, catalogue
        self.previous, self.dirty, self.memory = previous, dirty, memory
        self.problems: list[Diagnostic] = []
        self.written: Sections = {section: {} for section in SECTIONS}
        self.raw: dict[tuple[str, str], Any] = {}  # the data of components that are not valid

    def run(self, name: str) -> Checked:
        self.keys()
        items = {section: self.items(section) for section in SECTIONS}
        sound = not self.problems
        for section, role in SECTIONS.items():
            for item in items[section]:
                self.component(section, item, role)
        checked = Checked(self.problems, self.written, self.text("name", name), self.text("description", ""))
        if not names.is_spec_name(checked.name):
            message = "a spec's name has letters, digits, '_', '-' and '.': it becomes the name of a folder"
            self.report(("name",), message)
        self.names()
        checked.outputs = self.outputs()
        checked.weights = self.weights()
        if sound:  # else it would complain of what is missing for another reason
            self.wire(checked)
        return checked

    def report(self, path: Path, message: str, *notes: str, at_key: bool = False) -> None:
        if len(self.problems) >= PROBLEMS_LIMIT:
            return
        place = find(self.root, path, self.chosen)
        position = place.key if at_key and place.whole else place.position
        if position is None or place.node is self.root:
            position = self.beginning()
        self.problems.append(Diagnostic(message, position, notes))

    def beginning(self) -> Position | None:
        place = self.root.position
        return place and place._replace(end_line=place.line, end_column=place.column + 1)

    def keys(self) -> None:
        entries, sections = self.root.entries, (*TOP, "extends", "definitions", "variants")
        unknown = [key for key in entries if key not in TOP][:PROBLEMS_LIMIT]
        meant = {nearest(key, sections) for key in unknown}
        for key in unknown:
            near = did_you_mean(key, sections)
            self.report((key,), f"unknown section {key!r}{near}", f"sections are: {listing(sections)}", at_key=True)
        if "inputs" not in entries and "inputs" not in meant:
            self.report((), "missing section 'inputs'", "inputs: {image: {type: image, size: 32, channels: 3}}")
        if not any(section in entries or section in meant for section in NODE_SECTIONS):
            self.report((), "nothing to compute: a spec needs 'encoders', 'fusion' or 'heads'")

    def text(self, key: str, default: str) -> str:
        node = self.root.entries.get(key)
        if node is None:
            return default
        if isinstance(node, Value) and isinstance(node.value, str):
            return node.value
        self.report((key,), f"expected a text for {key!r}, found {in_words(data(node, key, self.chosen))}")
        return default

    def items(self, section: str) -> list[str]:
        """The names in a section; the numbers of the objectives."""
        node = self.root.entries.get(section)
        if node is None:
            return []
        items = list(node.entries) if isinstance(node, Map) else []
        if isinstance(node, List):
            items = [str(i) for i in range(len(node.items))]
        if not isinstance(node, List if section == "objectives" else Map) or (not items and section != "objectives"):
            expected = "a list" if section == "objectives" else "a mapping from names to components"
            value = data(node, section, self.chosen)
            found = in_words(value) if value != {} else "an empty one"
            self.report((section,), f"expected {expected} in {section!r}, found {found}")
            return []
        if len(items) > SECTION_LIMIT:
            self.report((section,), f"{section!r} has {len(items):,} components; at most {SECTION_LIMIT:,} are read")
            return []
        return items

    def component(self, section: str, item: str, role: type[Component]) -> None:
        if self.dirty is not None and (section, item) not in self.dirty and item in self.previous.get(section, ()):
            self.written[section][item] = self.previous[section][item]
            return
        holder = self.root.entries[section]
        node = holder.entries[item] if isinstance(holder, Map) else holder.items[int(item)]  # type: ignore[union-attr]
        value = data(node, f"{section}.{item}", self.chosen)
        said = ("component", role, repr(value))  # as text: 1, 1.0 and true are three values
        known = self.memory.get(said)
        if known is not None:
            self.written[section][item] = known
            return
        try:
            self.written[section][item] = role.from_spec(value, self.catalogue)
            self.memory.keep(said, self.written[section][item])
        except ValidationError as error:
            self.raw[section, item] = value
            for found in complaints(error, role, role.role, value, self.catalogue):
                self.report((section, item, *found.path), found.message, *found.notes, at_key=found.at_key)

    def names(self) -> None:
        """Names are identifiers, and unique but for an encoder that bears its input's name."""
        seen: dict[str, str] = {}
        for section in ("inputs", *NODE_SECTIONS):
            for name in self.items_of(section):
                if reason := names.objection(name):
                    self.report((section, name), f"{name[:80]!r} cannot be a name", reason, at_key=True)
                elif name in seen and not (section == "encoders" and seen[name] == "inputs"):
                    message = f"the name {name!r} is taken: it stands in {seen[name]!r} too"
                    self.report(
                        (section, name), message, "only an encoder may bear another's name, its input's", at_key=True
                    )
                elif section == "inputs" and name.endswith("_mask") and name[:-5] in self.items_of("inputs"):
                    self.report(
                        ("inputs", name), f"{name!r} is already the mask of the input {name[:-5]!r}", at_key=True
                    )
                seen[name] = section

    def items_of(self, section: str) -> Mapping[str, object]:
        node = self.root.entries.get(section)
        return node.entries if isinstance(node, Map) else {}

    def outputs(self) -> tuple[str, ...]:
        node = self.root.entries.get("outputs")
        if node is None:
            return ()
        value = data(node, "outputs", self.chosen)
        if not isinstance(value, tuple):
            self.report(
                ("outputs",), f"expected a list of names for 'outputs', found {in_words(value)}", "outputs: [joint]"
            )
            return ()
        if len(value) > SECTION_LIMIT:
            self.report(("outputs",), f"{len(value):,} outputs; at most {SECTION_LIMIT:,} are read")
            return ()
        for i, item in enumerate(value):
            if not isinstance(item, str):
                self.report(("outputs", i), f"expected a name, found {in_words(item)}")
            elif item in value[:i]:
                self.report(("outputs", i), f"{item!r} is asked for twice")
        return tuple(item if isinstance(item, str) else "" for item in value)

    def weights(self) -> dict[str, Weights]:
        node = self.root.entries.get("weights")
        if node is None:
            return {}
        value = data(node, "weights", self.chosen)
        if not isinstance(value, (str, Mapping)):
            self.report(
                ("weights",), f"expected a file or a mapping from nodes to files, found {in_words(value)}", WEIGHTS
            )
            return {}
        found: dict[str, Weights] = {}
        known = [name for section in NODE_SECTIONS for name in self.items_of(section)]
        for name, said in entries(value).items():
            place: Path = ("weights", name) if name != WHOLE else ("weights",)
            if name != WHOLE and name not in known:
                self.report(place, f"there is no node {name!r}{did_you_mean(name, known)}", WEIGHTS, at_key=True)
            elif not isinstance(said, Mapping):
                self.report(place, f"expected a file or a mapping, found {in_words(said)}", WEIGHTS)
            else:
                try:
                    found[name] = Weights.model_validate(said)
                except ValidationError as error:
                    for wrong in complaints(error, Weights, "weights", said):
                        self.report((*place, *wrong.path), wrong.message, *wrong.notes, at_key=wrong.at_key)
        return found

    def wire(self, checked: Checked) -> None:
        wired = self.wired(checked.outputs)
        heads = {node.name: node for node in wired.declared if node.section == "heads"}
        sections = {section: dict(components) for section, components in self.written.items()}
        for node in wired.declared:
            component = sections[node.section].get(node.name)
            if component is not None:
                sections[node.section][node.name] = self.completed(component, node, heads, wired)
        checked.objectives = tuple(
            defaults.judged(objective, int(i), list(heads), self.report)
            for i, objective in self.written["objectives"].items()
        )
        ties.tied(sections, self.report)
        averages.averaged(sections, self.report)
        checked.sections = sections
        for name in checked.weights:
            component = next((sections[part][name] for part in NODE_SECTIONS if name in sections[part]), None)
            if isinstance(component, Node) and component.tie is not None:
                message = f"{name!r} has no weights of its own"
                self.report(
                    ("weights", name), message, f"it shares those of {component.tie!r}: load them there", at_key=True
                )
        if self.problems or self.raw:
            return
        checked.nodes = tuple(
            WiredNode(node.path, component.role, node.name, component, tuple(node.sources))
            for node in wired.ordered
            for component in (sections[node.section][node.name],)
        )

    def wired(self, outputs: tuple[str, ...]) -> _Wired:
        """Who reads whom; the same object for nodes that are declared alike."""
        declared = [self.declared(section, item) for section in NODE_SECTIONS for item in self.raw_or_written(section)]
        inputs = self.items_of("inputs")
        key = ("wiring", tuple(inputs), tuple(node.written for node in declared), outputs)
        known: _Wired | None = self.memory.get(key)
        if known is not None:
            return known
        before = len(self.problems)
        ordered = wiring.wire(inputs, declared, outputs, self.report)
        found = _Wired(declared, ordered, wiring.Names(inputs, declared))
        if len(self.problems) == before and not any(node.broken for node in declared):
            self.memory.keep(key, found)
        return found

    def completed(
        self, component: Component, node: wiring.Declared, heads: Mapping[str, wiring.Declared], wired: _Wired
    ) -> Component:
        """The component with what the wiring says for it; the same object for the same of both."""
        key = ("completed", Same(component), Same(wired), node.path)
        known: Component | None = self.memory.get(key)
        if known is not None:
            return known
        before = len(self.problems)
        found = defaults.completed(component, node, heads, wired.names, self.report)
        if len(self.problems) == before:
            self.memory.keep(key, found)
        return found

    def raw_or_written(self, section: str) -> list[str]:
        return [item for item in self.items_of(section) if item in self.written[section] or (section, item) in self.raw]

    def declared(self, section: str, name: str) -> wiring.Declared:
        component = self.written[section].get(name)
        if isinstance(component, Node):
            reads: Any = component.from_
        else:
            value = self.raw[section, name]
            reads = value.get("from") if isinstance(value, Mapping) else None
            if not isinstance(value, (Mapping, str)):
                return wiring.Declared(section, name, (), broken=True)
        is_list = isinstance(reads, tuple)
        listed = reads if is_list or reads is None else (reads,)
        if listed is not None and (not listed or not all(isinstance(item, str) for item in listed)):
            if component is not None:
                self.report((section, name, "from"), f"{name!r} reads nothing: 'from' is an empty list")
            return wiring.Declared(section, name, (), is_list, broken=True)
        if listed is not None and len(listed) > SECTION_LIMIT:
            self.report(
                (section, name, "from"), f"{name!r} reads {len(listed):,} nodes; at most {SECTION_LIMIT:,} are read"
            )
            return wiring.Declared(section, name, (), is_list, broken=True)
        asides = () if component is None else self.asides(component)
        return wiring.Declared(section, name, listed, is_list, asides)

    def asides(self, component: Component) -> tuple[tuple[str, str], ...]:
        key = ("asides", Same(component))
        known: tuple[tuple[str, str], ...] | None = self.memory.get(key)
        if known is None:
            known = tuple(component.inputs_named())
            self.memory.keep(key, known)
        return known
