"""A valid spec: its components, how they are wired, what is still open, and where every value was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmspec.spec import emit
from mmspec.spec.catalogue import Catalogue
from mmspec.spec.check import Checked, Sections, WiredNode, check
from mmspec.spec.component import Component
from mmspec.spec.describe import record
from mmspec.spec.diagnostics import Diagnostic, SpecError, did_you_mean, in_words
from mmspec.spec.domains import Choice, Domain, still_open
from mmspec.spec.memory import Memory
from mmspec.spec.overrides import put
from mmspec.spec.roles import SECTIONS
from mmspec.spec.selection import find, key_of, open_domains
from mmspec.spec.source import Position, Source
from mmspec.spec.tree import Map, from_data
from mmspec.spec.weights import WHOLE, Weights, located
from mmspec.spec.wiring import path_of


@dataclass(frozen=True)
class ModelSpec:
    """What a user wrote, validated. Two specs are equal when they mean the same, wherever it was written.

    Open domains hold their default in the components, or their first alternative where there is no default: `require_closed`
    says so before anything is built from that.
    """

    name: str
    description: str
    inputs: Mapping[str, Component]
    encoders: Mapping[str, Component]
    fusion: Mapping[str, Component]
    decoders: Mapping[str, Component]
    heads: Mapping[str, Component]
    objectives: tuple[Component, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, Weights]  # by node; of the whole model by ""
    domains: Mapping[str, Domain]  # the open ones, by key
    nodes: tuple[WiredNode, ...] = field(compare=False)  # producers first
    chosen: Mapping[str, Any] = field(compare=False, default_factory=dict)  # the domains that were closed by `choose`
    file: str = field(compare=False, default="")
    _root: Map = field(compare=False, repr=False, default_factory=lambda: Map({}, {}))
    _written: Sections = field(compare=False, repr=False, default_factory=dict)
    _catalogue: Catalogue = field(compare=False, repr=False, default_factory=lambda: Catalogue(()))
    _all_domains: Mapping[str, Domain] = field(compare=False, repr=False, default_factory=dict)
    _memory: Memory = field(
        compare=False, repr=False, default_factory=Memory
    )  # of all that are chosen from one another

    @property
    def memory(self) -> Memory:
        """What is known of the specs that were chosen from one another."""
        return self._memory

    def at(self, path: str) -> Position | None:
        """Where the value at a dotted path is written, or the nearest thing around it that is."""
        return find(self._root, path_of(path), self.chosen).position

    def origin(self, path: str) -> str:
        """How the value at a dotted path came about: "specs/a.yaml:11:5", "default", "--set", "variant small", "chosen"."""
        place = find(self._root, path_of(path), self.chosen)
        if not place.whole:
            return "default"
        if key_of(self._root, path_of(path), self.chosen) in self.chosen:
            return "chosen"
        position = place.node.position
        return "default" if position is None else position.source.via or str(position)

    def diagnostic(self, path: str, message: str, expected: str = "", hint: str = "", label: str = "") -> Diagnostic:
        """A mistake that shows only when the spec is compiled, located where its cause is written."""
        notes = ((f"expected {expected}",) if expected else ()) + ((hint,) if hint else ())
        return Diagnostic(message, self.at(path), notes, label, self.file)

    def weights_at(self, node: str) -> str:
        """The file, or the name on the Hub, of a node's weights; of the whole model's for ""."""
        path = f"weights.{node}.file" if node else "weights.file"
        return located(self.weights[node], self.at(path))

    def choose(self, values: Mapping[str, Any]) -> ModelSpec:
        """Close domains, by key, or override any value; a choice of components goes by type, or by number where types repeat.

        {"fusion.joint": "gated", "fusion.joint[gated].depth": 2, "encoders.image.width": 64}

        Raises   SpecError: no such path, a value outside its domain, a domain that is not there given the rest, or a spec that is
                 not valid with these values.
        """
        chosen, overrides = dict(self.chosen), {}
        for path, value in values.items():
            domain = self._all_domains.get(path)
            if domain is None:
                overrides[path] = value
            else:
                chosen[path] = self._checked(domain, value)
        root = self._root
        for path, value in overrides.items():  # through the alternatives that are chosen by now
            key = key_of(root, path_of(path), chosen) if "[" not in path else path
            if key in self._all_domains:
                chosen[key] = self._checked(self._all_domains[key], value)
            else:
                source = Source("choose", f"{path}={value!r}", "chosen")
                position = Position(source, 1, 1, 1, len(path) + 1)
                root = put(root, path, from_data(value, position), self._catalogue, chosen, position)
        settled = {key: d.default if d.has_default else None for key, d in self._all_domains.items()} | chosen
        for key in [key for key in chosen if not self._all_domains[key].active(settled)]:
            chosen.pop(key)  # chosen earlier, inside an alternative that has now been left
            if key in values:
                needs = " and ".join(f"{outer} = {value}" for outer, value in self._all_domains[key].condition)
                raise SpecError([self.diagnostic(_plain(key), f"choosing {key!r} has no effect: it needs {needs}")])
        dirty = {(parts[0], parts[1].partition("[")[0]) for path in values if len(parts := path.split(".", 2)) > 1}
        whole = any("." not in path for path in values)
        previous = None if whole else self._written
        checked = check(root, chosen, self._catalogue, self.name, previous, dirty, self._memory)
        if checked.problems:
            raise SpecError(checked.problems)
        domains = self._all_domains if root is self._root else None
        return assemble(checked, root, chosen, self._catalogue, self.file, domains, self._memory)

    def require_closed(self) -> ModelSpec:
        """The spec with every domain closed by its default.

        Raises   SpecError, at each domain without a default: it asks for `--set path=...`.
        """
        missing = [domain for domain in self.domains.values() if not domain.has_default and self._reached(domain)]
        if missing:
            raise SpecError(
                Diagnostic(
                    f"{domain.key!r} is still open, and has no default",
                    domain.position,
                    (f"it may be: {domain}", f"choose with --set {domain.key}=..."),
                )
                for domain in missing
            )
        values = {key: d.default for key, d in self.domains.items() if self._reached(d)}
        return self.choose(values) if values else self

    def resolved(self) -> dict[str, Any]:
        """Plain data with every default filled in and every domain closed; reads back as an equal spec.

        Raises   SpecError: a domain without a default is still open.
        """
        closed = self.require_closed()
        data: dict[str, Any] = {"name": closed.name}
        if closed.description:
            data["description"] = closed.description
        for section in SECTIONS:
            if section != "objectives" and (components := getattr(closed, section)):
                data[section] = {name: record(component) for name, component in components.items()}
        if closed.objectives:
            data["objectives"] = [record(objective) for objective in closed.objectives]
        data |= {"outputs": list(closed.outputs)} if closed.outputs else {}
        said = {name: record(weights) for name, weights in closed.weights.items()}
        return data | ({"weights": said.get(WHOLE, said)} if said else {})

    def to_yaml(self, origins: bool = False) -> str:
        """The resolved spec as YAML; with `origins`, each line says where its value comes from.

        Raises   SpecError: a domain without a default is still open.
        """
        closed = self.require_closed()
        return emit.document(closed.resolved(), closed.origin if origins else None)

    def _checked(self, domain: Domain, value: Any) -> Any:
        """A value of a domain, a component's number turned into its type."""
        if value not in domain:
            number = domain.hole.index(value) if isinstance(domain.hole, Choice) else None
            if number is None:
                message = f"{in_words(value)} is not in the domain of {domain.key!r}{did_you_mean(value, map(str, domain.values))}"
                raise SpecError([Diagnostic(message, domain.position, (f"it may be: {domain}",), file=self.file)])
            return domain.values[number]
        return value

    def _reached(self, domain: Domain) -> bool:
        """Whether a domain is there when what is still open takes its default."""
        settled = {key: other.default for key, other in self.domains.items() if other.has_default}
        return domain.active({**settled, **self.chosen})


def assemble(
    checked: Checked,
    root: Map,
    chosen: Mapping[str, Any],
    catalogue: Catalogue,
    file: str,
    domains: Mapping[str, Domain] | None = None,
    memory: Memory | None = None,
) -> ModelSpec:
    """The spec that a check without problems makes. `domains` are all of the tree's, where they are known already; `memory` is
    that of its family."""
    everything = {domain.key: domain for domain in open_domains(root, {})} if domains is None else domains
    open_ones = {domain.key: domain for domain in still_open(everything.values(), chosen)} if chosen else everything
    return ModelSpec(
        name=checked.name,
        description=checked.description,
        **{section: checked.sections[section] for section in SECTIONS if section != "objectives"},
        objectives=checked.objectives,
        outputs=checked.outputs,
        weights=checked.weights,
        domains=open_ones,
        nodes=checked.nodes,
        chosen={key: value for key, value in chosen.items() if key in everything},
        file=file,
        _root=root,
        _written=checked.written,
        _catalogue=catalogue,
        _all_domains=everything,
        _memory=Memory() if memory is None else memory,
    )


def _plain(key: str) -> str:
    """A key without its alternatives: the dotted path."""
    return "".join(part.partition("]")[2] if i else part for i, part in enumerate(key.split("[")))
