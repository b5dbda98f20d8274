"""The price of a spec: parameters, FLOPs and memory, of the whole and of each node. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from mmspec.cost.communication import communication
from mmspec.cost.flops import Flops, Sizes, op_flops
from mmspec.cost.memory import peak_activations
from mmspec.errors import UserError
from mmspec.ir import Graph, Op
from mmspec.ir.graph import copies, owned
from mmspec.ir.primitives import shape_text
from mmspec.passes import lower
from mmspec.spec import ModelSpec

SCHEMA = 1  # of the dictionary; raised when a figure changes its meaning
WEIGHT_BYTES = 4  # float32


@dataclass(frozen=True)
class NodePrice:
    """One node: parameters, those that one token meets; FLOPs with all exits, on average (None: not known), of a sample that leaves
    at each exit, its head included, and of everything through each branch. What a halting stack spends on a head is counted at the
    head's node."""

    name: str
    role: str
    type: str
    output: str
    parameters: int
    active: int
    flops: int
    expected: float | None
    exits: tuple[int, ...] = ()
    branches: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "role": self.role, "type": self.type, "output": self.output, "parameters": self.parameters,
            "active": self.active, "flops": self.flops, "expected_flops": self.expected,
            **({"flops_by_exit": list(self.exits)} if self.exits else {}),
            **({"flops_by_branch": list(self.branches)} if self.branches else {}),
        }  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """What a spec costs, at `sizes` (the batch and the longest texts). `profile["flops.total"]` looks a figure up.

    parameters    total, active (a token's k of its experts)
    flops         forward, 2 per multiply-add of linear, convolution and attention; total: all exits and all that is active;
                  expected: with the exit rates that were given or measured, None where they are not known
    communication bytes between devices per forward, where experts are placed on several, if all get the same load
    memory        bytes; weights (float32), activations (the most that live at once), peak_inference (both);
                  peak_training is None: not computed yet
    """

    name: str
    sizes: Mapping[str, int]
    nodes: tuple[NodePrice, ...]
    activations: int
    notes: tuple[str, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    communication: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON. What is not known is None, with the reason under `unknown`."""
        roles = dict.fromkeys(node.role for node in self.nodes)
        total = sum(node.parameters for node in self.nodes)
        weights = total * WEIGHT_BYTES
        expected = (
            None
            if any(node.expected is None for node in self.nodes)
            else sum(node.expected or 0 for node in self.nodes)
        )
        return {
            "schema": SCHEMA,
            "name": self.name,
            "sizes": dict(self.sizes),
            "parameters": {"total": total, "active": sum(node.active for node in self.nodes)},
            "flops": {"total": sum(node.flops for node in self.nodes), "expected": expected},
            "communication": {"bytes": self.communication, "load": "even"},
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
    """The price of a spec at a batch size; texts are as long as they may be, or as `lengths` says for an input (text=12) or for
    a symbol (N=12).

    `exit_rates` gives, for a node that may halt, the share of samples that leave at each exit.   Raises SpecError;
    UserError: a batch below 1, a length that is no input's or more than the input's, rates that are no distribution or name no
    halting node.
    """
    if batch < 1:
        raise UserError(f"a batch has at least one sample, not {batch}")
    graph = graph or lower(spec)
    sizes = Sizes({"B": batch, **graph.limits, **symbols_of(graph, lengths)})
    roles = {node.name: node.path.partition(".")[0] for node in spec.nodes}
    priced = {op.name: (op, op_flops(op, sizes)) for op in graph.ops if op.kind in ("call", "define")}
    rates = _checked_rates(exit_rates or {}, {name: part for name, (_, part) in priced.items() if part.exits})
    means = {name: _mean(part, rates.get(name)) for name, (_, part) in priced.items()}
    nodes = tuple(_node(name, roles[name], priced, means, sizes) for name in roles)
    unknown = {"memory.peak_training": "activations of a training step are not computed yet"}
    if silent := [name for name, mean in means.items() if mean is None]:
        unknown["flops.expected"] = (
            f"how many samples leave {', '.join(silent)} at each exit, or take each branch, is not known; give exit rates, or train"
        )
    travelling = communication(graph, sizes)
    return Profile(spec.name, sizes.sizes, nodes, peak_activations(graph, sizes), graph.notes, unknown, travelling)


def symbols_of(graph: Graph, lengths: Mapping[str, int]) -> dict[str, int]:
    """Lengths by symbol, where they are given for inputs or for symbols.   Raises UserError."""
    of = {name: name for name in graph.limits}
    for value in graph.inputs:
        open_sizes = [str(dim) for dim in value.shape if str(dim) in graph.limits]
        if value.dtype != "bool" and len(open_sizes) == 1:
            of.setdefault(value.name, open_sizes[0])
    for name, length in lengths.items():
        if name not in of:
            raise UserError(f"no input has a length {name!r}; those that have one: {', '.join(of) or 'none'}")
        if not 1 <= length <= graph.limits[of[name]]:
            raise UserError(f"{name} has 1 to {graph.limits[of[name]]} tokens, not {length}")
    return {of[name]: length for name, length in lengths.items()}


Priced = Mapping[str, tuple[Op, Flops]]


def _node(name: str, role: str, priced: Priced, means: Mapping[str, _Mean | None], sizes: Sizes) -> NodePrice:
    op, part = priced[name]
    body = op.bodies[0]
    total, idle = _parameters(body) if "shares" not in op.attributes else (0, 0)  # they are counted with whose they are
    output = next(iter(body.outputs.values()))
    askers = [
        asker for asker, (_, other) in priced.items() if name in other.heads
    ]  # stacks that apply this node as a head
    flops = part.own + sum(priced[asker][1].heads[name] for asker in askers)
    own, asked = means[name], [means[asker] for asker in askers]
    expected = None
    if own is not None and None not in asked:
        expected = own.own + sum(mean.heads[name] for mean in asked if mean is not None)
    return NodePrice(
        name,
        role,
        body.arguments["type"],
        shape_text(output.shape),
        total,
        total - idle,
        _whole(flops),
        expected,
        tuple(_whole(spent.total) for spent in part.exits),
        tuple(map(_whole, part.branches)),
    )


def _parameters(graph: Graph) -> tuple[int, int]:
    """All parameters, and those of the experts that a token does not meet."""
    total = idle = 0
    for op in graph.ops:
        total += sum(parameter.size for parameter in op.parameters if not parameter.buffer)
        for body, count in owned(op):
            inner, unmet = _parameters(body)
            total += count * inner
            idle += count * unmet if op.kind != "experts" else 0
        if op.kind == "experts":
            idle += _unmet(op)
    return total, idle


def _unmet(op: Op) -> int:
    """Parameters of the experts that a token does not meet: of experts of several kinds, it meets the largest."""
    sizes = sorted(_parameters(body)[0] for body in copies(op))
    return sum(sizes[: len(sizes) - op.attributes["met"]])


@dataclass(frozen=True)
class _Mean:
    """What a node computes on average, itself and on heads."""

    own: float
    heads: Mapping[str, float]


def _mean(part: Flops, shares: Sequence[float] | None) -> _Mean | None:
    """Over where samples leave; None where that is not known."""
    if part.branches:
        return None
    if not part.exits:
        return _Mean(_whole(part.own), {})
    if shares is None:
        return None
    pairs = list(zip(shares, part.exits, strict=True))
    heads = {name: sum(share * _whole(spent.heads[name]) for share, spent in pairs) for name in part.heads}
    return _Mean(sum(share * _whole(spent.own) for share, spent in pairs), heads)


def _checked_rates(rates: Mapping[str, Sequence[float]], halting: Mapping[str, Flops]) -> Mapping[str, Sequence[float]]:
    for name, shares in rates.items():
        if name not in halting:
            raise UserError(
                f"exit rates name {name!r}, which does not halt; nodes that do: {', '.join(halting) or 'none'}"
            )
        count = len(halting[name].exits)
        if len(shares) != count or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            said = ", ".join(map(str, shares))
            raise UserError(f"exit rates of {name} must be {count} shares that sum to 1, not {said}")
    return rates


def _whole(dim: Any) -> int:
    assert isinstance(dim, int), f"{dim} is not bound"
    return dim
