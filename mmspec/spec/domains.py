"""Domains: places of a spec that are still open, and what may stand there.

    depth: {choice: [2, 4, 6], default: 4}                   scalars, lists, or whole components with domains of their own
    width: {int: [64, 512], step: 64}                        or `log: true`; both ends belong to it
    dropout: {float: [0.0, 0.3], default: 0.1}               or `step`, or `log: true`

They are taken out of the tree before any component sees it. A domain inside an alternative of another is open only when that
alternative is chosen; its key says so: `fusion.joint[gated].depth`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmspec.spec.diagnostics import Diagnostic, in_words, listing
from mmspec.spec.source import Position
from mmspec.spec.tree import BROKEN, Hole, List, Map, Node, Path, Value, plain

KINDS = ("choice", "int", "float")
CHOICES_LIMIT = 1000  # each is checked by itself when the spec is read


@dataclass(slots=True, eq=False)
class Choice(Hole):
    """One of several nodes; `values` are what to call them: a scalar itself, a component's type, else the number of the node."""

    nodes: tuple[Node, ...]
    values: tuple[Any, ...]
    default: int | None = None  # the number of the node

    def alternatives(self) -> tuple[tuple[str, Node], ...]:
        return tuple((str(value), node) for value, node in zip(self.values, self.nodes, strict=True))

    def index(self, value: object) -> int | None:
        """The number of the alternative that `value` names; a component also goes by its number."""
        for i, known in enumerate(self.values):
            if same(known, value):
                return i
        by_number = isinstance(value, int) and not isinstance(value, bool) and not isinstance(self.nodes[0], Value)
        return value if by_number and 0 <= value < len(self.nodes) else None  # type: ignore[operator, return-value]


@dataclass(slots=True, eq=False)
class Range(Hole):
    """Numbers from `low` to `high`, both included, in steps where there is one."""

    kind: str
    low: float
    high: float
    step: float | None = None
    log: bool = False
    default: float | None = None

    def holds(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "int" else (int, float)):
            return False
        return self.low <= value <= self.high and (not self.step or on_grid(value - self.low, self.step))


@dataclass(frozen=True, slots=True)
class Domain:
    """An open place, as a search sees it. `key` names it for `choose`; it is open only where `condition` holds."""

    key: str
    path: Path  # in the tree, without the conditions
    kind: str  # "choice", "int", "float"
    values: tuple[Any, ...] = ()  # of a choice
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    default: Any = None
    has_default: bool = False
    condition: tuple[tuple[str, Any], ...] = ()  # (key, value) of each choice that it lies under
    hole: Hole | None = field(default=None, compare=False, repr=False)

    @property
    def position(self) -> Position | None:
        return self.hole.position if self.hole else None

    def active(self, chosen: Mapping[str, Any]) -> bool:
        """Whether this place is there at all, given what was chosen elsewhere."""
        return all(key in chosen and same(chosen[key], value) for key, value in self.condition)

    def __contains__(self, value: object) -> bool:
        if self.kind == "choice":
            return any(same(value, known) for known in self.values)
        assert self.low is not None and self.high is not None
        return Range(None, self.kind, self.low, self.high, self.step).holds(value)

    def __str__(self) -> str:
        if self.kind == "choice":
            return listing(self.values)
        step = f" in steps of {self.step}" if self.step else ", logarithmic" if self.log else ""
        return f"{'whole numbers' if self.kind == 'int' else 'numbers'} from {self.low} to {self.high}{step}"


def still_open(domains: Iterable[Domain], chosen: Mapping[str, Any]) -> Iterator[Domain]:
    """Those that are left when these are chosen, with what they still depend on."""
    for domain in domains:
        if domain.key in chosen or any(k in chosen and not same(chosen[k], value) for k, value in domain.condition):
            continue
        if any(key in chosen for key, _ in domain.condition):
            left = tuple((key, value) for key, value in domain.condition if key not in chosen)
            domain = replace(domain, condition=left)
        yield domain


def same(a: object, b: object) -> bool:
    """Equal and of one type: 1, 1.0 and true are three values."""
    return type(a) is type(b) and a == b


def on_grid(distance: float, step: float) -> bool:
    return abs(distance / step - round(distance / step)) < 1e-9


def is_domain(node: Node) -> bool:
    return isinstance(node, Map) and any(kind in node.entries for kind in KINDS) and "type" not in node.entries


def with_holes(node: Node, problems: list[Diagnostic]) -> Node:
    """The same tree with every mapping that describes a domain replaced by it. What is wrong with one is added to `problems`, and
    the place stays broken or takes one of its values, so that the rest can still be checked."""
    if isinstance(node, Map):
        if is_domain(node):
            return _hole(node, problems)
        entries = {key: with_holes(child, problems) for key, child in node.entries.items()}
        return (
            node
            if all(entries[key] is node.entries[key] for key in entries)
            else Map(entries, node.keys, node.position)
        )
    if isinstance(node, List):
        items = tuple(with_holes(child, problems) for child in node.items)
        return node if all(a is b for a, b in zip(items, node.items, strict=True)) else List(items, node.position)
    return node


def first(hole: Hole) -> Any:
    """The choice where nothing else decides: the default, else the first alternative or the low end."""
    if isinstance(hole, Choice):
        return hole.values[hole.default or 0]
    assert isinstance(hole, Range)
    return hole.low if hole.default is None else hole.default


def as_domain(key: str, path: Path, hole: Hole, condition: tuple[tuple[str, Any], ...]) -> Domain:
    if isinstance(hole, Choice):
        has_default = hole.default is not None
        default = hole.values[hole.default] if hole.default is not None else None
        return Domain(
            key, path, "choice", hole.values, default=default, has_default=has_default, condition=condition, hole=hole
        )
    assert isinstance(hole, Range)
    return Domain(
        key,
        path,
        hole.kind,
        (),
        hole.low,
        hole.high,
        hole.step,
        hole.log,
        hole.default,
        hole.default is not None,
        condition,
        hole,
    )


def _hole(node: Map, problems: list[Diagnostic]) -> Node:
    def wrong(message: str, at: Node, *notes: str) -> None:
        problems.append(Diagnostic(message, at.position or node.position, notes))

    kind = next(kind for kind in KINDS if kind in node.entries)
    allowed = ("default",) if kind == "choice" else ("step", "log", "default")
    for key in node.entries:
        if key not in (kind, *allowed):
            message = f"unknown key {key!r} of a domain"
            problems.append(Diagnostic(message, node.keys[key], (f"beside {kind!r} may stand: {', '.join(allowed)}",)))
    return _choice(node, wrong, problems) if kind == "choice" else _range(node, kind, wrong)


def _choice(node: Map, wrong: Any, problems: list[Diagnostic]) -> Node:
    listed = node.entries["choice"]
    if not isinstance(listed, List) or not listed.items:
        found = "an empty list" if isinstance(listed, List) else _found(listed)
        wrong(
            f"a domain needs at least one choice, found {found}", listed, "for example {choice: [2, 4, 6], default: 4}"
        )
        return Value(BROKEN, node.position)
    if len(listed.items) > CHOICES_LIMIT:
        wrong(f"a domain has at most {CHOICES_LIMIT:,} choices, found {len(listed.items):,}", listed)
        return Value(BROKEN, node.position)
    for item in listed.items:
        if is_domain(item):
            wrong("an alternative cannot be a domain itself", item, "put its values into this list")
            return Value(BROKEN, node.position)
    nodes = tuple(with_holes(item, problems) for item in listed.items)
    values = values_of(nodes)
    seen: set[tuple[type, Any]] = set()
    for item, value in zip(nodes, values, strict=True):
        if (type(value), value) in seen:
            wrong(f"{in_words(value)} is listed twice", item)
            return nodes[0]
        seen.add((type(value), value))
    hole = Choice(node.position, nodes, values)
    if (default := node.entries.get("default")) is not None:
        hole.default = hole.index(plain(default)) if isinstance(default, Value) else None
        if hole.default is None:
            wrong(f"the default is none of the choices: {_found(default)}", default, f"they are: {listing(values)}")
            return nodes[0]
    return hole


def values_of(nodes: tuple[Node, ...]) -> tuple[Any, ...]:
    """What to call each alternative: scalars by themselves, components by type where no two have the same, else by number."""
    types = [_type(node) for node in nodes]
    texts = [node.value for node in nodes if isinstance(node, Value)]
    return tuple(
        node.value if isinstance(node, Value)
        else kind if kind is not None and types.count(kind) == 1 and kind not in texts
        else i
        for i, (node, kind) in enumerate(zip(nodes, types, strict=True))
    )  # fmt: skip


def _type(node: Node) -> Any:
    written = node.entries.get("type") if isinstance(node, Map) else None
    return written.value if isinstance(written, Value) else None


def _range(node: Map, kind: str, wrong: Any) -> Node:
    number = int if kind == "int" else (int, float)
    words = "whole number" if kind == "int" else "number"

    def numeric(node: Node | None) -> Any:
        ok = isinstance(node, Value) and isinstance(node.value, number) and not isinstance(node.value, bool)
        return node.value if ok and abs(node.value) < float("inf") else None  # type: ignore[union-attr, arg-type]

    ends = node.entries[kind]
    numbers = [numeric(item) for item in ends.items] if isinstance(ends, List) else []
    if len(numbers) != 2 or None in numbers:
        wrong(f"expected two {words}s, [low, high], found {_found(ends)}", ends)
        return Value(BROKEN, node.position)
    low, high = numbers
    bottom = Value(low, ends.position)
    if low > high:
        wrong(f"an empty domain: {low} is above {high}", ends)
        return bottom
    step = log = None
    if (written := node.entries.get("step")) is not None:
        step = numeric(written)
        if step is None or step <= 0:
            wrong(f"expected a {words} above 0 as step, found {_found(written)}", written)
            return bottom
        if not on_grid(high - low, step):
            last = low + (high - low) // step * step
            wrong(f"steps of {step} from {low} do not reach {high}", written, f"the last one would be {last}")
            return bottom
    if (written := node.entries.get("log")) is not None:
        log = plain(written) if isinstance(written, Value) else None
        if not isinstance(log, bool):
            wrong(f"expected true or false, found {_found(written)}", written)
            return bottom
        if log and (step is not None or low <= 0):
            reason = "has no step" if step is not None else f"begins above 0, not at {low}"
            wrong(f"a logarithmic domain {reason}", written)
            return bottom
    hole = Range(node.position, kind, low, high, step, bool(log))
    if (written := node.entries.get("default")) is not None:
        hole.default = numeric(written)
        if hole.default is None or not hole.holds(hole.default):
            wrong(f"the default is not in the domain: {_found(written)}", written)
            return bottom
    return hole


def _found(node: Node) -> str:
    return in_words(node.value) if isinstance(node, Value) else "a list" if isinstance(node, List) else "a mapping"
