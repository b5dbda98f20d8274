"""Scopes that are finished, and their places in others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmspec.ir.graph import Graph, Value
from mmspec.ir.scope import Results, Scope


@dataclass(frozen=True, eq=False)
class Closed:
    """A scope that is finished, for whoever places it in another: the same one may stand in several.

    handed   which of the values that it received its graph reads
    masks    by output, which of those values is its mask; None: the graph gives it, as "<output>_mask"
    ports    what its body returned: one value, several, or some by name
    """

    graph: Graph
    handed: tuple[int, ...]
    masks: Mapping[str, int | None]
    ports: tuple[str, ...] | Mapping[str, str] | None
    balance: bool
    exits: tuple[str, ...]
    taps: tuple[str, ...]


def closed(
    inner: Scope, name: str, results: Results, doc: str, arguments: Mapping[str, Any] | None
) -> tuple[Closed, tuple[Value, ...]]:
    """The scope of a call, whose body returned `results`, and the values around it that it received."""
    named = _named(name, results)
    given = named | inner.taps
    outputs = dict(given)
    for port, value in given.items():
        if value.mask is not None and value.mask not in inner:
            outputs[f"{port}_mask"] = value.mask
    if inner.balance:
        outputs["balance"] = inner.total_balance()
    outputs |= inner.exits
    graph = inner.close(outputs, doc, arguments)

    number = {key: i for i, key in enumerate(inner.outer)}
    masks = {port: number.get(id(v.mask)) for port, v in given.items() if v.mask is not None}
    ports = None if isinstance(results, Value) else tuple(named)
    by_name = {port: port or name for port in results} if isinstance(results, Mapping) else None
    finished = Closed(
        graph, tuple(number[id(value)] for value in graph.inputs), masks, by_name or ports, bool(inner.balance),
        tuple(inner.exits), tuple(inner.taps),
    )  # fmt: skip
    received = tuple(inner.outer.values())
    inner.let_go()
    return finished, received


def place(g: Scope, name: str, closed: Closed, received: Sequence[Value], shares: str) -> Any:
    """See `Scope.place`."""
    outer = {port: Value(port, v.shape, v.dtype, g, bound=v.bound) for port, v in closed.graph.outputs.items()}
    for port, index in closed.masks.items():
        outer[port].mask = outer[f"{port}_mask"] if index is None else received[index]
    handed = tuple(received[index] for index in closed.handed)
    attributes = {"shares": shares} if shares else {}
    g.append("call", name, handed, tuple(outer.values()), attributes, bodies=(closed.graph,))
    if closed.balance:
        g.balance.append(outer["balance"])
    g.exits |= {port: outer[port] for port in closed.exits}
    g.taps |= {port: outer[port] for port in closed.taps}
    if closed.ports is None:
        return outer[name]
    if isinstance(closed.ports, tuple):
        return tuple(outer[port] for port in closed.ports)
    return {port: outer[named] for port, named in closed.ports.items()}


def _named(name: str, results: Results) -> dict[str, Value]:
    if isinstance(results, Value):
        return {name: results}
    if isinstance(results, tuple):
        return {value.name: value for value in results}
    return {port or name: value for port, value in results.items()}
