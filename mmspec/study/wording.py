"""Figures and specs in the words of a plot, a table and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmspec.cost.quantities import quantity

_NAMES = {
    "flops.total": "FLOPs per example",
    "flops.expected": "expected FLOPs per example",
    "flops.minimum": "FLOPs, first exit",
    "flops.maximum": "FLOPs, last exit",
    "parameters.total": "parameters",
    "parameters.active": "active parameters",
    "memory.weights": "weights",
    "memory.peak_inference": "peak memory",
    "latency_ms": "latency",
}


def unit(name: str) -> str:
    return {"flops": "FLOPs", "memory": "B"}.get(name.split(".")[0], "")


def axis(name: str) -> str:
    """The title of an axis: `flops.total` -> "FLOPs per example"."""
    return _NAMES.get(name, name.replace("_", " ").replace(".", " "))


def amount(name: str, value: float | None) -> str:
    """`flops.total`, 12431360 -> "12.4 MFLOPs"; `accuracy`, 0.9312 -> "0.931"."""
    if value is None:
        return "unknown"
    if name == "latency_ms":
        return f"{value:.3g} ms"
    if name.split(".")[0] not in ("flops", "parameters", "memory"):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return quantity(value, unit(name))


def duration(seconds: float) -> str:
    """95 -> "1 min 35 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def short(path: str) -> str:
    """`fusion.joint.depth` -> "joint depth": the role goes without saying."""
    node, field = _halves(path)
    return f"{node} {field}".strip()


def label(params: Mapping[str, Any], paths: Sequence[str]) -> str:
    """What sets a spec apart, node by node: "joint depth 2 · image width 64, depth 4"."""
    nodes: dict[str, list[str]] = {}
    for path in paths:
        if path in params:
            node, field = _halves(path)
            nodes.setdefault(node, []).append(f"{field} {value(params[path])}".strip())
    return " · ".join(f"{node} {', '.join(fields)}" for node, fields in nodes.items())


def _halves(path: str) -> tuple[str, str]:
    parts = path.split(".")
    node, *field = parts[1:] if len(parts) > 1 else parts
    return node.replace("_", " "), " ".join(field).replace("_", " ")


def value(chosen: Any) -> str:
    """One choice of a domain in a word; a component by its type."""
    if isinstance(chosen, Mapping):
        return str(chosen.get("type", "..."))
    return f"{chosen:g}" if isinstance(chosen, float) else str(chosen)
