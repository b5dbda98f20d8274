"""Is a price within limits? Each limit with the value that it was held against, and the nodes that the value comes from.

A limit on time is held against the lower bound on a device: where that is above the limit, no run can keep it. Where it is below,
a run may keep it or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmspec.cost.fit import Fit
from mmspec.cost.flops import Sizes
from mmspec.cost.limits import Limit, LimitError
from mmspec.cost.memory import peak_activations
from mmspec.cost.on_device import OnDevice
from mmspec.cost.profile import Profile
from mmspec.cost.roofline import number_bytes
from mmspec.ir.graph import parameter_count
from mmspec.spec.diagnostics import did_you_mean, listing

LATENCY = "roofline.lower_bound_ms"
FITS = "fit.needed"
OF_NODES = {  # what of a node is its part of a figure
    "parameters.total": "parameters", "parameters.active": "active", "flops.total": "flops", "flops.maximum": "flops",
    "flops.minimum": "minimum", "flops.expected": "expected", "flops.expected_uncompacted": "uncompacted",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """A limit, and what it was held against. `parts`: of the value, what each node is the cause of, the most first."""

    limit: Limit
    value: float
    parts: tuple[tuple[str, float], ...]
    option: str = ""  # that the limit was given by
    device: str = ""  # that time or memory is meant of

    @property
    def kept(self) -> bool:
        return self.limit.violation(self.value) <= 0

    def to_dict(self) -> dict[str, Any]:
        node = self.parts[0][0] if self.parts else None
        return {
            "figure": self.limit.figure, "relation": self.limit.relation, "limit": self.limit.bound, "value": self.value,
            "kept": self.kept, "node": node,
            "nodes": [{"name": name, "value": value} for name, value in self.parts],
        }  # fmt: skip


def held_against(price: Profile, limits: Sequence[tuple[Limit, str]], precision: str = "fp32") -> tuple[Verdict, ...]:
    """Each limit, with the option that it was given by, against the price; memory at that precision.

    Raises   LimitError: a figure that the price does not have, or one whose value is not known
    """
    name = price.on.fit.device.name if price.on else ""
    found = [Verdict(limit, *_figure(price, limit.figure, precision), option, name) for limit, option in limits]
    return (*found, *([_fits(price, price.on.fit)] if price.on else []))


def _fits(price: Profile, fit: Fit) -> Verdict:
    name = fit.device.name
    limit = Limit(FITS, "<=", fit.allowed, f"fits on {name}")
    return Verdict(limit, fit.needed, _memory(price, number_bytes(fit.precision)), "--device", name)


def _figure(price: Profile, figure: str, precision: str) -> tuple[float, tuple[tuple[str, float], ...]]:
    group = figure.partition(".")[0]
    if group in ("roofline", "fit") and price.on is None:
        raise LimitError(f"{figure} is not known: no device was named")
    if figure == LATENCY:
        assert price.on is not None
        return 1e3 * price.on.roofline.whole.least, _times(price.on)
    floats = number_bytes(precision)
    if group == "memory" and precision != "fp32":
        return _memory_at(price, figure, floats), _memory(price, floats)
    try:
        value = price[figure]
    except (KeyError, TypeError):
        known = [name for name, each in _numbers(price.to_dict()).items() if isinstance(each, (int, float))]
        raise LimitError(
            f"there is no figure {figure!r}{did_you_mean(figure, known) or f'; figures are {listing(known)}'}"
        ) from None
    if value is None:
        why = price.unknown.get(figure, price.unknown.get(group, "it is not computed"))
        raise LimitError(f"{figure} is not known: {why}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        inner = f"; of it there are {listing(f'{figure}.{key}' for key in value)}" if isinstance(value, Mapping) else ""
        raise LimitError(f"{figure} is no number{inner}")
    return float(value), _parts(price, figure, floats)


def _parts(price: Profile, figure: str, floats: int) -> tuple[tuple[str, float], ...]:
    if figure.startswith("memory."):
        return _memory(price, floats)
    field = OF_NODES.get(figure)
    return _most((node.name, getattr(node, field)) for node in price.nodes) if field else ()


def _times(on: OnDevice) -> tuple[tuple[str, float], ...]:
    return _most((node.name, 1e3 * node.least) for node in on.roofline.nodes)


def _memory_at(price: Profile, figure: str, floats: int) -> float:
    weights, live = floats * price["parameters.total"], peak_activations(price.graph, Sizes(price.sizes, floats))
    values: dict[str, float] = {"weights": weights, "activations": live, "peak_inference": weights + live}
    name = figure.partition(".")[2]
    if name == "peak_training" and price[figure] is not None:
        values[name] = price[figure]
    if name not in values:
        raise LimitError(f"{figure} is not known at that precision; {listing(f'memory.{each}' for each in values)} are")
    return values[name]


def _memory(price: Profile, floats: int) -> tuple[tuple[str, float], ...]:
    """Of each node its weights, and the most of its own activations that live at once."""
    sizes = Sizes(price.sizes, floats)
    found = []
    for op in price.graph.ops:
        if op.kind in ("call", "define"):
            body = op.bodies[0]
            weights = 0 if "shares" in op.attributes else floats * parameter_count(body)
            found.append((op.name, weights + peak_activations(body, sizes)))
    return _most(found)


def _most(parts: Any) -> tuple[tuple[str, float], ...]:
    known = [(name, value) for name, value in parts if value is not None]
    return tuple(sorted(known, key=lambda part: -part[1]))


def _numbers(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted name."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= _numbers(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
