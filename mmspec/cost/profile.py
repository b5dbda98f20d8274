"""The price of a spec: parameters, FLOPs and memory, of the whole and of each node. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from mmspec.cost.flops import Flops, Sizes, op_flops
from mmspec.cost.memory import peak_activations
from mmspec.errors import UserError
from mmspec.ir import Graph, Op
from mmspec.ir.graph import copies, owned_bodies
from mmspec.passes import lower
from mmspec.spec import ModelSpec

SCHEMA = 1  # of the dictionary; raised when a figure changes its meaning
WEIGHT_BYTES = 4  # float32


@dataclass(frozen=True)
class NodePrice:
    """One node: parameters, those that one token or sample meets, FLOPs with all exits, and FLOPs up to each exit."""

    name: str
    role: str
    type: str
    output: str
    parameters: int
    active: int
    flops: int
    exits: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "role": self.role, "type": self.type, "output": self.output, "parameters": self.parameters,
            "active": self.active, "flops": self.flops, **({"flops_by_exit": list(self.exits)} if self.exits else {}),
        }  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """What a spec costs, at `sizes` (the batch and the longest texts). `profile["flops.total"]` looks a figure up.

    parameters    total, active (a token's k of its experts)
    flops         forward, 2 per multiply-add of linear, convolution and attention; total: all exits and all that is active;
                  expected: with the exit rates that were given or measured, None where they are not known
    memory        bytes; weights (float32), activations (the most that live at once), peak_inference (both);
                  peak_training is None: not computed yet
    """

    name: str
    sizes: Mapping[str, int]
    nodes: tuple[NodePrice, ...]
    activations: int
    expected: int | float | None
    notes: tuple[str, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON. What is not known is None, with the reason under `unknown`."""
        roles = dict.fromkeys(node.role for node in self.nodes)
        total = sum(node.parameters for node in self.nodes)
        weights = total * WEIGHT_BYTES
        return {
            "schema": SCHEMA,
            "name": self.name,
            "sizes": dict(self.sizes),
            "parameters": {"total": total, "active": sum(node.active for node in self.nodes)},
            "flops": {"total": sum(node.flops for node in self.nodes), "expected": self.expected},
            "memory": {
                "weights": weights, "activations": self.activations, "peak_inference": weights + self.activations,
                "peak_training": None,
            },
            "roles": {
                role: {
                    "parameters": sum(node.parameters for node in self.nodes if node.role == role),
                    "flops": sum(node.flops for node in self.nodes if node.role == role),
                }
                for role in roles
            },
            "nodes": [node.to_dict() for node in self.nodes],
            "unknown": dict(self.unknown),
            "notes": list(self.notes),
        }  # fmt: skip

    def __getitem__(self, figure: str) -> Any:
        """A figure by its dotted name: `parameters.total`, `flops.expected`, `memory.peak_inference`, `roles.encoders.flops`."""
        return reduce(lambda group, key: group[key], figure.split("."), self.to_dict())


FIGURES = (
    "parameters.total", "parameters.active", "flops.total", "flops.expected", "memory.weights", "memory.activations",
    "memory.peak_inference",
)  # fmt: skip


def profile(
    spec: ModelSpec,
    batch: int = 1,
    exit_rates: Mapping[str, Sequence[float]] | None = None,
    graph: Graph | None = None,
    **lengths: int,
) -> Profile:
    """The price of a spec at a batch size; texts are as long as they may be, or as `lengths` says for their symbols (N=12).

    `exit_rates` gives, for a node that may halt, the share of samples that leave at each exit.   Raises SpecError;
    UserError: a batch below 1, rates that are no distribution or name no halting node.
    """
    if batch < 1:
        raise UserError(f"a batch has at least one sample, not {batch}")
    graph = graph or lower(spec)
    sizes = Sizes({"B": batch, **graph.limits, **lengths})
    roles = {node.name: node.path.partition(".")[0] for node in spec.nodes}
    priced = {op.name: (op, op_flops(op, sizes)) for op in graph.ops if op.kind in ("call", "define")}
    spent_on_heads = sum((part.heads for _, part in priced.values()), start=Flops().heads)
    nodes = tuple(_node(name, roles[name], *priced[name], spent_on_heads[name], sizes) for name in roles)
    expected, unknown = _expected(nodes, priced, exit_rates or {})
    return Profile(
        spec.name,
        sizes.sizes,
        nodes,
        peak_activations(graph, sizes),
        expected,
        graph.notes,
        {**unknown, "memory.peak_training": "activations of a training step are not computed yet"},
    )


def _node(name: str, role: str, op: Op, part: Flops, as_head: int, sizes: Sizes) -> NodePrice:
    body = op.bodies[0]
    total, idle = _parameters(body)
    output = next(iter(body.outputs.values()))
    shape = "[" + ", ".join(map(str, output.shape)) + "]"
    exits = tuple(map(_whole, part.exits))
    return NodePrice(
        name, role, body.arguments["type"], shape, total, total - idle, _whole(part.own) + _whole(as_head), exits
    )


def _parameters(graph: Graph) -> tuple[int, int]:
    """All parameters, and those of the experts that a token does not meet."""
    total = idle = 0
    for op in graph.ops:
        for parameter in op.parameters:
            total += parameter.size
        for body in owned_bodies(op):
            inner, unmet = _parameters(body)
            total += copies(op) * inner
            idle += (
                (op.attributes["count"] - op.attributes["k"]) * inner if op.kind == "experts" else copies(op) * unmet
            )
    return total, idle


def _expected(
    nodes: Sequence[NodePrice], priced: Mapping[str, tuple[Op, Flops]], rates: Mapping[str, Sequence[float]]
) -> tuple[int | float | None, dict[str, str]]:
    total: int | float = sum(node.flops for node in nodes)
    halting = {node.name: node.exits for node in nodes if node.exits}
    for name, shares in rates.items():
        if name not in halting:
            raise UserError(
                f"exit rates name {name!r}, which does not halt; nodes that do: {', '.join(halting) or 'none'}"
            )
        exits = halting[name]
        if len(shares) != len(exits) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise UserError(
                f"exit rates of {name} must be {len(exits)} shares that sum to 1, not {', '.join(map(str, shares))}"
            )
    missing = [name for name in halting if name not in rates]
    if missing:
        names = ", ".join(missing)
        return None, {
            "flops.expected": f"how many samples leave {names} at each exit is not known; give exit rates, or train"
        }
    for name, exits in halting.items():
        whole = _whole(priced[name][1].total)
        total += sum(share * spent for share, spent in zip(rates[name], exits, strict=True)) - whole
    return total, {}


def _whole(dim: Any) -> int:
    assert isinstance(dim, int), f"{dim} is not bound"
    return dim
