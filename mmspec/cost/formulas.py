"""Formulas of the figures of a spec around some sizes: it is lowered and priced with traced integers. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmspec.cost.counts import parameters_of
from mmspec.cost.flops import Sizes
from mmspec.cost.ledger import ledger
from mmspec.cost.memory import peak_activations
from mmspec.cost.routing import WEIGHT_BYTES
from mmspec.cost.work import FAMILIES
from mmspec.ir import Dim
from mmspec.ir.traced import Condition, Trace, formula
from mmspec.passes import lower
from mmspec.spec import Component, ModelSpec
from mmspec.spec.memory import Memory

PARTS = (
    "parameters",
    "flops",
    "memory",
)  # in the order in which they are priced: what is known by then is not asked again
MOST = 2**24  # sizes beyond are not looked at when it is said where a formula holds


@dataclass(frozen=True)
class Symbol:
    """A size by name. `path`: the field of the spec that it stands for; "" where it is a size of the batch that comes in."""

    name: str
    meaning: str
    value: int  # in the spec
    path: str = ""
    most: int | None = None  # as long as a text may be


@dataclass(frozen=True)
class Formulas:
    """What figures are under `conditions`: of the sizes, and by part of the figures.

    at       sizes that they were traced at
    besides  sizes at which they hold too, although a condition does not
    """

    figures: Mapping[str, Dim]
    conditions: Mapping[str, tuple[Condition, ...]]
    at: Mapping[str, int]
    besides: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, Dim] = field(
        default_factory=dict
    )  # rows of tokens that attend, by the node where they first do

    def of(self, figure: str) -> tuple[Condition, ...]:
        """The conditions under which a figure's formula holds."""
        part = "parameters" if figure == "memory.weights" else figure.partition(".")[0]
        asked = (self.conditions[each] for each in ("", *PARTS[: PARTS.index(part) + 1]))
        return tuple(dict.fromkeys(condition for each in asked for condition in each))

    def covers(self, figure: str, sizes: Mapping[str, int]) -> bool:
        if self.besides and self.besides == {name: sizes[name] for name in self.besides}:
            sizes = {**sizes, **{name: self.at[name] for name in self.besides}}
        return all(condition.holds(sizes) for condition in self.of(figure))


def traced(spec: ModelSpec, symbols: Sequence[Symbol], at: Mapping[str, int]) -> Formulas:
    """The formulas of all figures that hold around these sizes.   Raises SpecError."""
    trace = Trace()
    values = {symbol.name: trace.symbol(symbol.name, at[symbol.name]) for symbol in symbols}
    fields = {symbol.path: values[symbol.name] for symbol in symbols if symbol.path}
    found, tokens = _figures(placed(spec, fields), {s.name: values[s.name] for s in symbols if not s.path}, trace)
    conditions = {part: tuple(asked) for part, asked in trace.conditions.items()}
    figures = {name: trace.simplest(formula(number)) for name, number in found.items()}
    tokens = {name: trace.simplest(dim) for name, dim in tokens.items()}
    return Formulas(figures, conditions, dict(at), tokens=tokens)


def numbers(spec: ModelSpec, symbols: Sequence[Symbol], at: Mapping[str, int]) -> dict[str, int]:
    """The same figures as plain numbers.   Raises SpecError."""
    fields = {symbol.path: at[symbol.name] for symbol in symbols if symbol.path}
    return _figures(placed(spec, fields), {s.name: at[s.name] for s in symbols if not s.path}, Trace())[0]


def _figures(spec: ModelSpec, incoming: Mapping[str, int], trace: Trace) -> tuple[dict[str, int], dict[str, Dim]]:
    graph = lower(spec)
    sizes = Sizes({**graph.limits, **incoming})
    tokens: dict[str, Dim] = {}
    found: dict[str, int] = {}
    with trace.asking("parameters"):
        found["parameters.total"] = parameters_of(graph)
    with trace.asking("flops"):
        bill = ledger(spec, graph, sizes)
        found["flops.total"] = bill.forward.flops
        found |= {f"flops.{family}": getattr(bill.forward, family) for family in FAMILIES}
        for node in bill.children:
            found[f"flops.nodes.{node.path}"] = node.forward.flops * node.times
            for line, _ in node.operations():
                for value in line.op.inputs[:2] if line.op is not None and line.op.kind == "attention" else ():
                    dim = formula(_number(sizes(value)[-2]))
                    if not isinstance(dim, int) and dim not in tokens.values():
                        tokens[node.path if node.path not in tokens else f"{node.path}_{len(tokens)}"] = dim
    with trace.asking("memory"):
        weights = found["parameters.total"] * WEIGHT_BYTES
        activations = peak_activations(graph, sizes)
    found |= {
        "memory.weights": weights, "memory.activations": activations, "memory.peak_inference": weights + activations,
    }  # fmt: skip
    return found, tokens


def placed(spec: ModelSpec, fields: Mapping[str, int]) -> ModelSpec:
    """The spec with other numbers in some of its fields, which are not checked again, and nothing remembered: what is asked of
    sizes must be asked each time."""

    def changed(path: str, component: Component) -> Component:
        for where, value in fields.items():
            if where.startswith(f"{path}."):
                component = _put(component, where[len(path) + 1 :].split("."), value)
        return component

    sections: dict[str, Any] = {"inputs": {n: changed(f"inputs.{n}", c) for n, c in spec.inputs.items()}}
    nodes = tuple(replace(node, component=changed(node.path, node.component)) for node in spec.nodes)
    for node in nodes:
        role = node.path.partition(".")[0]
        sections.setdefault(role, dict(getattr(spec, role)))[node.name] = node.component
    return replace(spec, nodes=nodes, _memory=Memory(), **sections)


def _put(place: Any, path: Sequence[str], value: int) -> Any:
    if not path:
        return value
    if isinstance(place, tuple):
        index = int(path[0])
        return (*place[:index], _put(place[index], path[1:], value), *place[index + 1 :])
    return place.model_copy(update={path[0]: _put(getattr(place, path[0]), path[1:], value)})


def interval(
    asked: Sequence[Condition], sizes: Mapping[str, int], name: str, start: int, most: int | None
) -> tuple[int, int | None]:
    """The sizes around `start` at which conditions hold, if each of them holds up to or from some size."""

    def hold(size: int) -> bool:
        return all(condition.holds({**sizes, name: size}) for condition in asked)

    def edge(inside: int, outside: int) -> int:
        while abs(outside - inside) > 1:
            middle = (inside + outside) // 2
            inside, outside = (middle, outside) if hold(middle) else (inside, middle)
        return inside

    least = 1 if hold(1) else edge(start, 1)
    largest = most or MOST
    upper = largest if hold(largest) else edge(start, largest)
    for part in range(1, 24):  # what does not hold in between, although at both ends, ends it there
        low, high = start - (start - least) * part // 24, round(start * (upper / start) ** (part / 24))
        least = least if hold(low) else edge(start, low)
        upper = upper if hold(high) else edge(start, high)
    return least, most if upper == largest else upper


def _number(dim: Dim) -> int:
    assert isinstance(dim, int), f"{dim} is not bound"
    return dim
