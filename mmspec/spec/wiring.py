"""Who reads whom: references to names, each role's default, the order of computation, and what nobody reads.

A bare name means the node furthest downstream that bears it; `inputs.image` says the raw input; `joint.image` is a part of what
`joint` returns, `encoders.image` the encoder outright.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mmspec.spec.diagnostics import did_you_mean, listing
from mmspec.spec.roles import NODE_SECTIONS
from mmspec.spec.tree import Path

Report = Callable[..., None]  # (path, message, *notes)

_ROLES = {"inputs": "input", "encoders": "encoder", "fusion": "fusion", "decoders": "decoder", "heads": "head"}


@dataclass(frozen=True, slots=True)
class Source:
    """What a node reads: the path of an input or a node, and the part of its result ("" for all of it)."""

    path: str
    port: str = ""

    def __str__(self) -> str:
        return f"{self.path}.{self.port}" if self.port else self.path


@dataclass(slots=True)
class Declared:
    """A node as it was written. `reads` is None where the role's default holds; `broken` where that leads nowhere."""

    section: str
    name: str
    reads: tuple[str, ...] | None
    is_list: bool = False
    asides: tuple[tuple[str, str], ...] = ()  # inputs that components in its slots read: where it is said, and which
    broken: bool = False
    sources: list[Source] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def written(self) -> tuple[object, ...]:
        """All that wiring depends on."""
        return self.section, self.name, self.reads, self.is_list, self.asides, self.broken


def wire(
    inputs: Mapping[str, object], nodes: list[Declared], outputs: tuple[str, ...], report: Report
) -> list[Declared]:
    """Fill in every node's `sources` and give the nodes in the order of computation, producers first.

    `report` is told of references that lead nowhere, cycles, and what nobody reads.
    """
    names = Names(inputs, nodes)
    failed = any(node.broken for node in nodes)
    for node in nodes:  # defaults look at what others read, so what is written comes first
        for i, reference in enumerate(node.reads or ()):
            source = names.resolve(reference, reader=node)
            if source is None:
                failed = node.broken = True
                path: Path = (node.section, node.name, "from", *((i,) if node.is_list else ()))
                names.complain(reference, path, report, reader=node)
            elif source in node.sources:
                failed = True
                report((node.section, node.name, "from", i), f"{node.path} reads {reference!r} twice")
            else:
                node.sources.append(source)
        for where, name in node.asides:
            if name not in inputs:
                failed = True
                near, path = did_you_mean(name, inputs), (node.section, node.name, *path_of(where))
                report(path, f"there is no input {name!r}{near}", f"inputs are: {listing(inputs)}")
    for node in nodes:
        if node.reads is None and not node.broken:
            failed |= not _default(node, inputs, nodes, report)
    asked = []
    for i, reference in enumerate(outputs):
        if not reference:
            continue  # what is not a name has been reported
        source = names.resolve(reference)
        if source is None:
            names.complain(reference, ("outputs", i), report)
        else:
            asked.append(source.path)
    ordered = _order(nodes, report)
    if not failed and ordered:
        _unused(inputs, nodes, asked, report)
    return ordered


class Names:
    """What names mean."""

    def __init__(self, inputs: Mapping[str, object], nodes: list[Declared]) -> None:
        self.inputs = inputs
        self.nodes = {node.path: node for node in nodes}
        self.downstream: dict[str, str] = {name: f"inputs.{name}" for name in inputs}
        for node in sorted(nodes, key=lambda node: NODE_SECTIONS.index(node.section)):
            self.downstream[node.name] = node.path

    def resolve(self, reference: str, reader: Declared | None = None) -> Source | None:
        """The source that a reference means to a reader; a node that bears its input's name never means itself."""
        first, _, rest = reference.partition(".")
        if first == "inputs":
            return Source(f"inputs.{rest}") if rest in self.inputs else None
        path = self.downstream.get(first)
        if path is None:
            name, _, port = rest.partition(".")
            outright = f"{first}.{name}"
            return Source(outright, port) if outright in self.nodes and "." not in port else None
        if reader is not None and path == reader.path and first in self.inputs:
            path = f"inputs.{first}"
        if path.startswith("inputs.") and rest:
            return None
        return Source(path, rest)

    def complain(self, reference: str, path: Path, report: Report, reader: Declared | None = None) -> None:
        known = [name for name in self.downstream if reader is None or name != reader.name or name in self.inputs]
        first, dot, rest = reference.partition(".")
        if first == "inputs":
            near = did_you_mean(rest, self.inputs)
            report(path, f"there is no input {rest!r}{near}", f"inputs are: {listing(self.inputs)}")
        elif first in self.downstream and self.downstream[first].startswith("inputs."):
            report(path, f"the input {first!r} has no part {rest!r}")
        elif dot and any(known_path.startswith(f"{first}.") for known_path in self.nodes):
            names = [known_path.partition(".")[2] for known_path in self.nodes if known_path.startswith(f"{first}.")]
            report(path, f"there is no {reference!r}{did_you_mean(rest, names)}", f"{first} are: {listing(names)}")
        else:
            report(
                path, f"there is no node or input {first!r}{did_you_mean(first, known)}", f"there are: {listing(known)}"
            )


def _default(node: Declared, inputs: Mapping[str, object], nodes: list[Declared], report: Report) -> bool:
    """Give a node what its role reads when nothing is written; False where that cannot be said."""
    of = {section: [other for other in nodes if other.section == section] for section in NODE_SECTIONS}
    known = dict.fromkeys([*inputs, *(other.name for other in nodes if other.section != "heads")])
    here: Path = (node.section, node.name)
    if node.section == "encoders":
        name = node.name if node.name in inputs else next(iter(inputs)) if len(inputs) == 1 else None
        if name is None:
            if inputs:
                report(here, f"which input does the encoder {node.name!r} read? None bears its name", _add(known))
            return False
        node.sources = [Source(f"inputs.{name}")]
        return True
    if node.section == "fusion":
        node.sources = [Source(other.path) for other in of["encoders"]]
        if not node.sources:
            report(here, f"what does the fusion {node.name!r} read? There are no encoders", _add(known))
        return bool(node.sources)
    read = {
        source.path for other in nodes if other.section != "heads" and other is not node for source in other.sources
    }
    for section in ("fusion", "decoders") if node.section == "heads" else ("fusion",):
        unread = [other for other in of[section] if other.path not in read]
        if unread:
            node.sources = [Source(unread[-1].path)]
            return True
    if not of["fusion"] and len(of["encoders"]) == 1:
        node.sources = [Source(of["encoders"][0].path)]
        return True
    encoders = len(of["encoders"])
    why = "every fusion is read by another node" if of["fusion"] else f"no fusion, {encoders or 'no'} encoders"
    report(here, f"what does the {_ROLES[node.section]} {node.name!r} read? It has no default here: {why}", _add(known))
    return False


def _add(known: Mapping[str, object]) -> str:
    return f"add `from:`; there are: {listing(known)}"


def _order(nodes: list[Declared], report: Report) -> list[Declared]:
    """Producers first, otherwise as written (depth first, with a stack of its own); empty, and reported, where there is a cycle."""
    by_path = {node.path: node for node in nodes}
    ordered: list[Declared] = []
    done: set[str] = set()
    on_trail: set[str] = set()
    for start in nodes:
        trail: list[tuple[Declared, list[str]]] = []
        entering: Declared | None = start if start.path not in done else None
        while entering is not None or trail:
            if entering is not None:
                on_trail.add(entering.path)
                trail.append((entering, [s.path for s in reversed(entering.sources) if s.path in by_path]))
            node, waiting = trail[-1]
            entering = None
            while waiting and entering is None:
                path = waiting.pop()
                if path in on_trail:
                    cycle = [step[0].path for step in trail]
                    _report_cycle(node, [*cycle[cycle.index(path) :], path], report)
                    return []
                entering = by_path[path] if path not in done else None
            if entering is None:
                done.add(node.path)
                ordered.append(node)
                trail.pop()
                on_trail.discard(node.path)
    return ordered


def _report_cycle(node: Declared, cycle: list[str], report: Report) -> None:
    """`cycle` runs from reader to source; data flows the other way."""
    names = [path.partition(".")[2] for path in reversed(cycle)]
    i = next((i for i, source in enumerate(node.sources) if source.path == cycle[-1]), 0)
    path: Path = (node.section, node.name, "from", *((i,) if node.is_list else ()))
    report(path, f"a cycle: {' -> '.join(names)}", "a node cannot read what is computed from it")


def _unused(inputs: Mapping[str, object], nodes: list[Declared], asked: list[str], report: Report) -> None:
    read = {source.path for node in nodes for source in node.sources} | set(asked)
    read |= {f"inputs.{name}" for node in nodes for _, name in node.asides}
    for name in inputs:
        if f"inputs.{name}" not in read:
            report(("inputs", name), f"nobody reads the input {name!r}", "read it with `from`, or remove it")
    for node in nodes:
        if node.section != "heads" and node.path not in read:
            role = _ROLES[node.section]
            report(
                (node.section, node.name),
                f"nobody reads the {role} {node.name!r}",
                f"read it with `from: {node.name}`, ask for it with `outputs: [{node.name}]`, or remove it",
            )


def path_of(text: str) -> Path:
    """ "objectives.0.weight" as a path."""
    return tuple(int(part) if part.isdecimal() else part for part in text.split("."))
