"""Two profiles side by side, node by node: what was added, what was removed, what costs more or less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Plain = Mapping[str, Any]  # what `Profile.to_dict` gives

WHOLE = (
    "parameters.total", "parameters.active", "flops.total", "flops.expected", "backward.flops", "forward.pointwise",
    "memory.weights", "memory.activations", "memory.peak_inference", "memory.peak_training",
)  # fmt: skip
OF_NODES = ("parameters", "flops", "backward.flops", "memory.weights", "memory.activations")


@dataclass(frozen=True)
class Change:
    """A node (or what is inside one) in A and in B; None where it is not there, or where a figure is not known."""

    path: str
    component: tuple[str | None, str | None]
    figures: Mapping[str, tuple[int | None, int | None]]

    @property
    def what(self) -> str:
        """added, removed, changed, same"""
        before, after = self.component
        if before is None or after is None:
            return "added" if before is None else "removed"
        return "changed" if before != after or any(a != b for a, b in self.figures.values()) else "same"

    def to_dict(self) -> dict[str, Any]:
        pairs = {name: list(pair) for name, pair in self.figures.items()}
        return {
            "path": self.path,
            "change": self.what,
            "component": list(self.component),
            **pairs,
            "ratios": ratios(self.figures),
        }


@dataclass(frozen=True)
class Comparison:
    """`sizes`: those that differ. `figures`: of the whole model, in A and in B."""

    names: tuple[str, str]
    sizes: Mapping[str, tuple[int | None, int | None]]
    figures: Mapping[str, tuple[float | None, float | None]]
    nodes: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "sizes": {name: list(pair) for name, pair in self.sizes.items()},
            "price": {name: list(pair) for name, pair in self.figures.items()},
            "ratios": ratios(self.figures),
            "nodes": [node.to_dict() for node in self.nodes],
        }


def compare(a: Plain, b: Plain, depth: int = 1) -> Comparison:
    """Of two profiles as plain data. What is inside nodes is compared down to `depth`, as far as both profiles go."""
    symbols = dict.fromkeys([*a["sizes"], *b["sizes"]])
    sizes = {name: (a["sizes"].get(name), b["sizes"].get(name)) for name in symbols}
    before, after = (dict(_lines(each["nodes"], depth)) for each in (a, b))
    return Comparison(
        (a["name"], b["name"]),
        {name: pair for name, pair in sizes.items() if pair[0] != pair[1]},
        {name: (_figure(a, name), _figure(b, name)) for name in WHOLE},
        tuple(_change(path, before.get(path), after.get(path)) for path in dict.fromkeys([*before, *after])),
    )


def ratios(figures: Mapping[str, tuple[float | None, float | None]]) -> dict[str, float | None]:
    """B over A; None where one is not there, or A is nothing."""
    return {name: b / a if a and b is not None else None for name, (a, b) in figures.items()}


def _change(path: str, before: Plain | None, after: Plain | None) -> Change:
    component = tuple(None if line is None else str(line.get("type") or line.get("kind")) for line in (before, after))
    both = [_known(line) for line in (before, after)]
    names = [name for name in OF_NODES if any(name in known for known in both)]
    figures = {name: (both[0].get(name), both[1].get(name)) for name in names}
    return Change(path, (component[0], component[1]), figures)


def _known(line: Plain | None) -> dict[str, int]:
    found = {name: _figure(line, name) for name in OF_NODES} if line is not None else {}
    return {name: value for name, value in found.items() if value is not None}


def _lines(nodes: Sequence[Plain], depth: int) -> Iterator[tuple[str, Plain]]:
    """Nodes and what is inside them by path; of several operations of a name the later ones get numbers."""
    seen: dict[str, int] = {}
    for node in nodes:
        path = node.get("path") or node["name"]
        seen[path] = seen.get(path, 0) + 1
        yield path if seen[path] == 1 else f"{path} ({seen[path]})", node
        if depth > 1:
            yield from _lines(node.get("children", ()), depth - 1)


def _figure(data: Plain, name: str) -> Any:
    """By its dotted name; None where it is not there, or no number."""
    found: Any = data
    for key in name.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, (int, float)) and not isinstance(found, bool) else None
