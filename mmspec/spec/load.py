"""From a file or a text to a valid spec: read, reuse, holes, changes, check. Every problem of every step comes at once.

Each alternative of a domain, and each variant, is checked by itself with everything else at its default, so that a mistake in
one is found when the spec is read and not when a search first draws it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmspec import shipped
from mmspec.spec.catalogue import Catalogue
from mmspec.spec.check import Checked, check
from mmspec.spec.diagnostics import Diagnostic, SpecError, did_you_mean, in_words, listing
from mmspec.spec.domains import Choice, Domain, first, same, with_holes
from mmspec.spec.memory import Memory
from mmspec.spec.model import ModelSpec, assemble
from mmspec.spec.names import is_spec_name
from mmspec.spec.overrides import put, read_override
from mmspec.spec.reader import PROBLEMS_LIMIT, read_file, read_text
from mmspec.spec.reuse import compose, expand, expand_entries
from mmspec.spec.roles import SECTIONS
from mmspec.spec.selection import open_domains
from mmspec.spec.source import Position, Source
from mmspec.spec.tree import List, Map, Node, Value, from_data, relabel

VARIANTS_LIMIT = 100
CHECKS_LIMIT = 100_000  # components that are looked at to check each alternative by itself: about a second


def load(
    path: str | Path, catalogue: Catalogue, overrides: Iterable[str] = (), variant: str | None = None
) -> ModelSpec:
    """The spec in a file, or a packaged one by its bare name.

    `overrides` are texts such as "fusion.joint.depth=4".

    Raises   SpecError with everything that is wrong.
    """
    if not Path(path).is_file() and (packaged := shipped.find("specs", str(path))):
        path = packaged
    elif not Path(path).exists() and not Path(path).suffix:
        known = shipped.names("specs")
        message = f"there is no spec {str(path)!r}, neither a file nor packaged{did_you_mean(str(path), known)}"
        raise SpecError([Diagnostic(message, None, (f"packaged are: {listing(known)}",), file=str(path))])
    return _spec(read_file(str(path)), Path(path).parent, Path(path).stem, catalogue, overrides, variant)


def read(
    text: str, catalogue: Catalogue, origin: str = "<text>", overrides: Iterable[str] = (), variant: str | None = None
) -> ModelSpec:
    """The spec in a text; `origin` names it in messages.

    Raises   SpecError with everything that is wrong.
    """
    return _spec(read_text(text, origin), Path(), Path(origin).stem, catalogue, overrides, variant)


def add_domains(spec: ModelSpec, space: Map | Mapping[str, Any]) -> ModelSpec:
    """The spec with the domains of a study's `space` put in their places: {fusion.joint.depth: {choice: [1, 2, 3]}}.

    Raises   SpecError, located in the study where `space` was read from one: no such path, not a domain, an alternative that is
             not valid.
    """
    space = space if isinstance(space, Map) else _as_map(space)
    problems: list[Diagnostic] = []
    root = spec._root
    for path, value in space.entries.items():
        node = with_holes(value, problems)
        if isinstance(node, (Value, List, Map)):
            if not problems:
                hint = f"{path}: {{choice: [...]}}, {{int: [low, high]}} or {{float: [low, high]}}"
                problems.append(Diagnostic(f"expected a domain for {path!r}", space.keys[path], (hint,)))
            continue
        root = _put(root, path, node, spec._catalogue, spec.chosen, space.keys[path], problems)
    return _finish(root, spec.name, spec._catalogue, spec.file, problems, dict(spec.chosen), spec.memory)


def _spec(
    source: Source, folder: Path, stem: str, catalogue: Catalogue, overrides: Iterable[str], variant: str | None
) -> ModelSpec:
    problems: list[Diagnostic] = []
    composed = compose(source, folder)
    definitions = _section(composed, "definitions", problems)
    variants = _section(composed, "variants", problems)
    kept = {key: node for key, node in composed.entries.items() if key not in ("definitions", "variants")}
    written = Map(kept, {key: composed.keys[key] for key in kept}, composed.position)
    base = root = _with_holes(expand_entries(written, definitions, problems), problems)
    name = stem if is_spec_name(stem) else "spec"
    variant_roots: dict[str, Map] = {}
    if variants and len(variants.entries) > VARIANTS_LIMIT:
        message = f"{len(variants.entries):,} variants; at most {VARIANTS_LIMIT} are read"
        raise SpecError([Diagnostic(message, composed.keys["variants"])])
    for label, changes in variants.entries.items() if variants else ():
        variant_roots[label] = _with_variant(base, label, changes, variants, definitions, catalogue, problems)  # type: ignore[arg-type]
    if variant is not None:
        if variant in variant_roots:
            root = variant_roots.pop(variant)
        else:
            message = f"there is no variant {variant!r}{did_you_mean(variant, variant_roots)}"
            note = f"variants are: {listing(variant_roots)}" if variant_roots else "it has no variants"
            problems.append(Diagnostic(message, composed.keys.get("variants"), (note,), file=source.name))
    for text in overrides:
        try:
            path, at, value = read_override(text)
        except SpecError as error:
            problems += error.diagnostics
            continue
        value = with_holes(expand(value, definitions, problems), problems)
        root = _put(root, path, value, catalogue, {}, at, problems)
    if not problems:
        for label, other in variant_roots.items():
            found = check(other, {}, catalogue, name).problems
            problems += [replace(problem, notes=(*problem.notes, f"in the variant {label!r}")) for problem in found]
        main = {_place(problem) for problem in check(root, {}, catalogue, name).problems} if problems else set()
        problems = [problem for problem in problems if _place(problem) not in main]
    return _finish(root, name, catalogue, source.name, problems, {}, Memory())


def _finish(
    root: Map,
    name: str,
    catalogue: Catalogue,
    file: str,
    problems: list[Diagnostic],
    chosen: dict[str, Any],
    memory: Memory,
) -> ModelSpec:
    checked = check(root, chosen, catalogue, name, memory=memory)
    problems += checked.problems
    domains = {domain.key: domain for domain in open_domains(root, chosen)}
    count = sum(len(domain.values) or 2 for domain in domains.values())
    components = sum(map(len, checked.written.values()))
    if count * components > CHECKS_LIMIT:
        where = list(domains.values())[-1].position
        most = CHECKS_LIMIT // components
        problems.append(
            Diagnostic(
                f"{count:,} alternatives over all domains; at most {most:,} are checked for {components} components",
                where,
            )
        )
    else:
        problems += _wrong_alternatives(root, checked, domains, chosen, catalogue, name, memory)
    if problems:
        raise SpecError(problems)
    return assemble(checked, root, chosen, catalogue, file, memory=memory)


def _wrong_alternatives(
    root: Map,
    checked: Checked,
    domains: Mapping[str, Domain],
    chosen: dict[str, Any],
    catalogue: Catalogue,
    name: str,
    memory: Memory,
) -> list[Diagnostic]:
    """What is wrong with each alternative by itself, beyond what is wrong already."""
    known = {_place(problem) for problem in checked.problems}
    problems: list[Diagnostic] = []
    for domain in domains.values():
        assert domain.hole is not None
        values = domain.values if domain.kind == "choice" else (domain.low, domain.high)
        parts = domain.path
        dirty = [(str(parts[0]), str(parts[1]))]
        for value in values:
            if same(value, first(domain.hole)) and not domain.condition:
                continue  # checked with everything else
            here = {**chosen, **dict(domain.condition), domain.key: value}
            for problem in check(root, here, catalogue, name, checked.written, dirty, memory).problems:
                if _place(problem) not in known:
                    known.add(_place(problem))
                    note = () if _inside(problem.position, domain.position) else (_when(domain, value),)
                    problems.append(replace(problem, notes=problem.notes + note))
    return problems


def _when(domain: Domain, value: Any) -> str:
    by_number = isinstance(domain.hole, Choice) and not isinstance(
        domain.hole.nodes[domain.hole.index(value) or 0], Value
    )
    return f"when {domain.key} is {f'its alternative {value}' if by_number else in_words(value)}"


def _with_variant(
    root: Map,
    label: str,
    changes: Node,
    variants: Map,
    definitions: Map | None,
    catalogue: Catalogue,
    problems: list[Diagnostic],
) -> Map:
    if not isinstance(changes, Map):
        hint = f"{label}: {{encoders.image.width: 64}}"
        message = f"expected a mapping from paths to values for the variant {label!r}"
        problems.append(Diagnostic(message, variants.keys[label], (hint,)))
        return root
    for path, value in changes.entries.items():
        if len(problems) >= PROBLEMS_LIMIT:
            break
        node = with_holes(expand(relabel(value, f"variant {label}"), definitions, problems), problems)
        root = _put(root, path, node, catalogue, {}, changes.keys[path], problems)
    return root


def _put(
    root: Map,
    path: str,
    value: Node,
    catalogue: Catalogue,
    chosen: Mapping[str, Any],
    at: Position | None,
    problems: list[Diagnostic],
) -> Map:
    try:
        return put(root, path, value, catalogue, chosen, at)
    except SpecError as error:
        problems += error.diagnostics
        return root


def _with_holes(root: Map, problems: list[Diagnostic]) -> Map:
    """Domains may stand inside components only: the names in a section may be anything."""
    entries = dict(root.entries)
    for section in SECTIONS:
        node = entries.get(section)
        if isinstance(node, Map):
            named = {name: with_holes(child, problems) for name, child in node.entries.items()}
            entries[section] = Map(named, node.keys, node.position)
        elif isinstance(node, List):
            entries[section] = List(tuple(with_holes(child, problems) for child in node.items), node.position)
    return Map(entries, root.keys, root.position)


def _section(root: Map, name: str, problems: list[Diagnostic]) -> Map | None:
    node = root.entries.get(name)
    if node is not None and not isinstance(node, Map):
        problems.append(Diagnostic(f"expected a mapping of names in {name!r}", root.keys[name]))
    return node if isinstance(node, Map) else None


def _place(problem: Diagnostic) -> tuple[Any, ...]:
    return problem.message, problem.position and problem.position.order


def _inside(position: Position | None, outer: Position | None) -> bool:
    if position is None or outer is None or position.source.name != outer.source.name:
        return False
    return (outer.line, outer.column) <= (position.line, position.column) <= (outer.end_line, outer.end_column)


def _as_map(data: Mapping[str, Any]) -> Map:
    node = from_data(data)
    assert isinstance(node, Map)
    return node
