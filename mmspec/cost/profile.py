"""The price of a spec: parameters, FLOPs and memory, of the whole and of each node. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from mmspec.cost.breakdown import groups, nodes
from mmspec.cost.communication import communication
from mmspec.cost.coverage import Hole, holes, reason, without
from mmspec.cost.decoding import Decoding, decoding
from mmspec.cost.flops import Flops, Sizes, op_flops
from mmspec.cost.halting import last_of
from mmspec.cost.ledger import Entry, ledger
from mmspec.cost.measured import Measured
from mmspec.cost.memory import peak_activations
from mmspec.cost.routing import WEIGHT_BYTES, ExpertsPrice, Known, experts_of
from mmspec.cost.step import HALF, PRECISIONS, Step
from mmspec.errors import UserError
from mmspec.ir import Graph, Op
from mmspec.ir.found import found_once
from mmspec.ir.graph import copies, own_parameters, own_trained, owned
from mmspec.ir.primitives import shape_text
from mmspec.passes import lower, lower_objectives
from mmspec.spec import ModelSpec

if TYPE_CHECKING:
    from mmspec.cost.devices import Device
    from mmspec.cost.on_device import OnDevice
    from mmspec.cost.training import Memory

SCHEMA = 1  # of the dictionary; raised when a figure changes its meaning


@dataclass(frozen=True)
class NodePrice:
    """One node: parameters, those that one token meets; FLOPs with all exits, on average (None: not known), of samples that leave
    at each exit, the head included, and of everything through each branch. What a halting stack spends on a head is counted at the
    head's node.

    minimum      FLOPs if every sample leaves at the first exit
    uncompacted  on average, of a batch that runs to its last sample
    rates        share of samples that leave at each exit, and where that is known from: "stated", "measured"
    """

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
    minimum: int = 0
    uncompacted: float | None = None
    rates: tuple[float, ...] | None = None
    source: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "role": self.role, "type": self.type, "output": self.output, "parameters": self.parameters,
            "active": self.active, "flops": self.flops, "expected_flops": self.expected,
            "minimum_flops": self.minimum, "expected_flops_uncompacted": self.uncompacted,
            **({"flops_by_exit": list(self.exits), "exit_rates": _listed(self.rates), "source": self.source} if self.exits else {}),
            **({"flops_by_branch": list(self.branches)} if self.branches else {}),
        }  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """What a spec costs, at `sizes` (the batch and the longest texts). `profile["flops.total"]` looks a figure up.

    parameters    total, active (a token's k of its experts), trainable, shared (that several nodes use)
    flops         forward, 2 per multiply-add of linear, convolution and attention; total: all exits and all that is active;
                  expected: with the exit rates that were given or measured, None where they are not known; a sample that has
                  left is computed no further (as our runtime does it), so that a batch of n costs n times the mean
                  expected_uncompacted: of a batch that runs to its last sample; minimum: all leave at the first exit;
                  maximum: none leaves early
    forward       products by class, pointwise operations, bytes, of one pass with all exits; backward: of its gradients
    decoding      a step of writing a text, and the keys and values that are kept for it
    experts       of each layer of experts: FLOPs of each for one token, load, imbalance, how many are touched, bytes they move
    communication bytes between devices per forward, where experts are placed on several, if all get the same load
    memory        bytes; weights, activations (the most that live at once), peak_inference (both); peak_training: of a training
                  step, which takes a walk of its own: asked for by its name, or where `step` says how it is done
    training      what a training step holds, where `step` says how it is done
    coverage      whether everything has a price, and what has none: then totals that it is part of are None, and the sum of what is
                  known is beside them (flops.known, parameters.known)
    roofline      on a device, where one was named: the least time of a pass, and what holds it up; fit: what fits on it
    """

    name: str
    sizes: Mapping[str, int]
    nodes: tuple[NodePrice, ...]
    spec: ModelSpec = field(repr=False, compare=False)
    graph: Graph = field(repr=False, compare=False)
    notes: tuple[str, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    experts: tuple[ExpertsPrice, ...] = ()
    communication: int = 0
    precision: str = "fp32"
    attention: str = "fused"
    step: Step | None = None
    on: OnDevice | None = field(default=None, compare=False)
    holes: tuple[Hole, ...] = ()

    def lacks(self, figure: str, nodes: Iterable[str] | None = None) -> bool:
        """Whether something in the model, or in these nodes, has no `flops`, `numbers` (parameters) or `held` (memory)."""
        among = None if nodes is None else set(nodes)
        return any(figure in hole.lacks and (among is None or hole.node in among) for hole in self.holes)

    def need(self, figure: str) -> Any:
        """A figure that one cannot do without.   Raises UserError: it is not known, and why"""
        value = self[figure]
        if value is None:
            raise UserError(f"{figure} of {self.name} is not known: {self.unknown.get(figure, 'it is not computed')}")
        return value

    @cached_property
    def training(self) -> Memory | None:
        """What a training step holds, done as `step` says; None where it says nothing."""
        if self.step is None:
            return None
        from mmspec.cost.training import step_memory  # not loaded where nobody asks

        losses = lower_objectives(self.spec) if self.spec.objectives else None
        return step_memory(self.graph, losses, self.sizes, self.step)

    @cached_property
    def activations(self) -> int | None:
        """The most bytes of activations that live at once at inference; None where some operation has no rule."""
        way = Step(precision=self.precision, attention=self.attention)
        if way == Step():
            return peak_activations(self.graph, Sizes(self.sizes))
        from mmspec.cost.inference import activations  # not loaded where nobody asks

        return activations(self.graph, self.sizes, way)

    @cached_property
    def ledger(self) -> Entry:
        """What each operation computes and moves, forward and backward, as a tree."""
        return ledger(self.spec, self.graph, Sizes(self.sizes))

    @cached_property
    def decoding(self) -> Decoding | None:
        """One more token of the text that the model writes; None where it writes none."""
        return decoding(self.spec, self.graph, Sizes(self.sizes))

    def to_dict(self, depth: int = 1) -> dict[str, Any]:
        """Plain data for JSON. What is not known is None, with the reason under `unknown`. Beyond a `depth` of 1 nodes have what is
        inside them as `children`."""
        figures = {group: figures(self) for group, figures in GROUPS.items()}
        return figures if depth == 1 else {**figures, "nodes": without(self.holes, nodes(self, depth))}

    def __getitem__(self, figure: str) -> Any:
        """A figure by its dotted name: `parameters.total`, `flops.expected`, `memory.peak_inference`, `roles.encoders.flops`."""
        group, *keys = figure.split(".")
        if self.step is None and (figure == "memory.peak_training" or group == "training"):
            return replace(self, step=Step(precision=self.precision, attention=self.attention))[figure]
        return reduce(lambda inner, key: inner[key], keys, GROUPS[group](self))

    def _parameters(self) -> dict[str, int | None]:
        known = sum(node.parameters for node in self.nodes)
        found = {"total": known, "active": sum(node.active for node in self.nodes), **trained_and_shared(self.graph)}
        return {**(dict.fromkeys(found) if self.lacks("numbers") else found), "known": known}

    def _flops(self) -> dict[str, Any]:
        flops = sum(node.flops for node in self.nodes)
        found = {
            "total": flops, "minimum": sum(node.minimum for node in self.nodes), "maximum": flops,
            "expected": _sum([node.expected for node in self.nodes]),
            "expected_uncompacted": _sum([node.uncompacted for node in self.nodes]),
        }  # fmt: skip
        return {**(dict.fromkeys(found) if self.lacks("flops") else found), "known": flops}

    def _memory(self) -> dict[str, int | None]:
        known = sum(node.parameters for node in self.nodes) * (2 if self.precision in HALF else WEIGHT_BYTES)
        weights = None if self.lacks("numbers") else known
        activations = None if self.lacks("held") else self.activations
        trained = None if self.training is None or self.lacks("held") else self.training.peak
        peak = None if weights is None or activations is None else weights + activations
        return {"weights": weights, "activations": activations, "peak_inference": peak, "peak_training": trained}

    def _unknown(self) -> dict[str, str]:
        said = dict(self.unknown)
        if self.activations is None:
            why = f"some operation has no rule for what it holds in {self.precision} with {self.attention} attention"
            said |= {"memory.activations": why, "memory.peak_inference": why}
        if self.training is None:
            said["memory.peak_training"] = (
                "how it is trained is not said; ask with --train, or for this figure by its name"
            )
        elif self.training.peak is None:
            said["memory.peak_training"] = f"no rule says what {', '.join(self.training.unknown)} holds"
        return said

    def _roles(self) -> dict[str, Any]:
        found = {}
        for role in dict.fromkeys(node.role for node in self.nodes):
            nodes = [node for node in self.nodes if node.role == role]
            names = [node.name for node in nodes]
            found[role] = {
                "parameters": None if self.lacks("numbers", names) else sum(node.parameters for node in nodes),
                "flops": None if self.lacks("flops", names) else sum(node.flops for node in nodes),
            }
        return found

    def _coverage(self) -> dict[str, Any]:
        return {"complete": not self.holes, "without_rule": [hole.to_dict() for hole in self.holes]}


GROUPS: Mapping[str, Callable[[Profile], Any]] = {  # of `to_dict`, each computed when it is asked for
    "schema": lambda price: SCHEMA,
    "name": lambda price: price.name,
    "sizes": lambda price: dict(price.sizes),
    "parameters": Profile._parameters,
    "flops": Profile._flops,
    "forward": lambda price: None if price.lacks("flops") else price.ledger.forward.to_dict(),
    "backward": lambda price: None if price.lacks("flops") else price.ledger.backward.to_dict(),
    "decoding": lambda price: price.decoding and price.decoding.to_dict(),
    "communication": lambda price: {"bytes": price.communication, "load": "even"},
    "memory": Profile._memory,
    "training": lambda price: price.training and price.training.to_dict(),
    "roles": Profile._roles,
    "by": lambda price: None if price.holes else groups(price),
    "nodes": lambda price: without(price.holes, nodes(price)),
    "coverage": Profile._coverage,
    "experts": lambda price: [layer.to_dict() for layer in price.experts],
    "roofline": lambda price: price.on and price.on.roofline.to_dict(),
    "fit": lambda price: price.on and price.on.fit.to_dict(),
    "unknown": Profile._unknown,
    "notes": lambda price: [*price.notes, *(price.training.notes if price.training else ())],
}

UNKNOWN = {  # by what an operation may lack, the figures that cannot be known without it
    "flops": (
        "flops.total", "flops.minimum", "flops.maximum", "flops.expected", "flops.expected_uncompacted", "forward", "backward",
        "by",
    ),
    "numbers": (
        "by", "parameters.total", "parameters.active", "parameters.trainable", "parameters.shared", "memory.weights",
        "memory.peak_inference",
    ),
    "held": ("by", "memory.activations", "memory.peak_inference", "memory.peak_training"),
}  # fmt: skip

FIGURES = (
    "parameters.total", "parameters.active", "flops.total", "flops.expected", "memory.weights", "memory.activations",
    "memory.peak_inference",
)  # fmt: skip


def profile(
    spec: ModelSpec,
    batch: int = 1,
    exit_rates: Mapping[str, Sequence[float]] | None = None,
    graph: Graph | None = None,
    *,
    expert_loads: Mapping[str, Sequence[float]] | None = None,
    measured: Measured | None = None,
    step: Step | None = None,
    attention: str = "fused",
    device: str | Device | None = None,
    precision: str = "fp32",
    **lengths: int,
) -> Profile:
    """The price of a spec at a batch size; texts are as long as they may be, or as `lengths` says for an input (text=12) or for
    a symbol (N=12).

    exit_rates     for a node that may halt, the share of samples that leave at each exit
    expert_loads   for layers of experts, by their module's name or its beginning, the share of the choices that each expert gets
    measured       the same as a training measured it; what is stated goes before
    step           how a training step is done, whose memory is then among the figures
    precision, attention    of all numbers, at inference too: the words of `Step`; with a device, one that it has
    device         the least time on it, and what fits: `h200`, or a file of one's own

    Raises   SpecError; UserError: a batch below 1, a length that is no input's or more than the input's, rates or loads that are no
             distribution or name nothing that halts or has experts; an unknown device, or a precision that it does not have.
    """
    if batch < 1:
        raise UserError(f"a batch has at least one sample, not {batch}")
    graph = graph or lower(spec)
    sizes = Sizes({"B": batch, **graph.limits, **symbols_of(graph, lengths)})
    roles = {node.name: node.path.partition(".")[0] for node in spec.nodes}
    priced = {op.name: (op, op_flops(op, sizes)) for op in graph.ops if op.kind in ("call", "define")}
    stated, found = exit_rates or {}, measured or Measured()
    halting = {name: part for name, (_, part) in priced.items() if part.exits}
    rates = _checked_rates({**found.exit_rates, **stated}, halting)
    sources = {name: "stated" if name in stated else "measured" for name in rates}
    known = (Known(expert_loads or {}, "stated"), Known(found.expert_loads, "measured"))
    experts = experts_of(graph, sizes, rates, known)
    routes = {
        layer.module.partition(".")[0]: layer.load for layer in experts
    }  # of a node that has one choice, which is its
    means = {name: _means(part, rates.get(name), routes.get(name), batch) for name, (_, part) in priced.items()}
    nodes = tuple(_node(name, roles[name], priced, means, sizes, rates, sources) for name in roles)
    unknown: dict[str, str] = {}
    if silent := [name for name in halting if name not in rates]:
        why = f"how many samples leave {', '.join(silent)} at each exit is not known; give exit rates, or train"
        unknown |= {"flops.expected": why, "flops.expected_uncompacted": why}
    if branching := [name for name, (_, part) in priced.items() if part.branches and routes.get(name) is None]:
        why = f"how many samples take each branch of {', '.join(branching)} is not known; give expert loads, or train"
        unknown |= {"flops.expected": why, "flops.expected_uncompacted": why}
    if any(layer.load is None for layer in experts):
        unknown["experts"] = "which experts tokens choose is not known; give expert loads, or train"
    elif silent and any(layer.reached is None for layer in experts):
        unknown["experts"] = unknown["flops.expected"]
    own = precision if device is None or precision in PRECISIONS else "fp32"  # a device may have others
    way, travelling = Step(precision=own, attention=attention), communication(graph, sizes)
    missing = holes(graph)
    for hole in missing:
        for lacking in hole.lacks:
            unknown |= dict.fromkeys(UNKNOWN[lacking], reason(missing, lacking))
    price = Profile(
        spec.name,
        sizes.sizes,
        nodes,
        spec,
        graph,
        graph.notes,
        unknown,
        experts,
        travelling,
        way.precision,
        way.attention,
        step,
        holes=missing,
    )
    if device is None:
        return price
    if missing:
        raise UserError(f"what {spec.name} takes on a device is not known: " + "; ".join(map(str, missing)))
    from mmspec.cost.on_device import on_device

    return replace(price, on=on_device(price, device, precision))


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


def _node(
    name: str,
    role: str,
    priced: Priced,
    means: Mapping[str, _Means],
    sizes: Sizes,
    rates: Mapping[str, Sequence[float]],
    sources: Mapping[str, str],
) -> NodePrice:
    op, part = priced[name]
    body = op.bodies[0]
    total, idle = _parameters(body) if "shares" not in op.attributes else (0, 0)  # they are counted with whose they are
    output = next(iter(body.outputs.values()))
    askers = [
        asker for asker, (_, other) in priced.items() if name in other.heads
    ]  # stacks that apply this node as a head
    flops = part.own + sum(priced[asker][1].heads[name] for asker in askers)

    least, compacted, uncompacted = (
        _with_heads(name, case, [means[asker][i] for asker in askers]) for i, case in enumerate(means[name])
    )
    assert least is not None
    return NodePrice(
        name,
        role,
        body.arguments["type"],
        shape_text(output.shape),
        total,
        total - idle,
        _whole(flops),
        compacted,
        tuple(_whole(spent.total) for spent in part.exits),
        tuple(map(_whole, part.branches)),
        minimum=round(least),
        uncompacted=uncompacted,
        rates=tuple(rates[name]) if name in rates else None,
        source=sources.get(name),
    )


def parameters_of(graph: Graph) -> int:
    """All trained numbers of a model; what two nodes share counts once."""
    nodes = (op for op in graph.ops if op.kind in ("call", "define") and "shares" not in op.attributes)
    return sum(_parameters(op.bodies[0])[0] for op in nodes)


@found_once
def _parameters(graph: Graph) -> tuple[int, int]:
    """All parameters, and those of the experts that a token does not meet."""
    total = idle = 0
    for op in graph.ops:
        total += own_parameters(op)
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


def trained_and_shared(graph: Graph) -> dict[str, int]:
    """How many parameters are trained, and how many belong to nodes whose weights another node uses too."""
    owners = {op.attributes["shares"] for op in graph.ops if "shares" in op.attributes}
    shared = sum(_parameters(op.bodies[0])[0] for op in graph.ops if op.name in owners)
    return {"trainable": _trainable(graph), "shared": shared}


@found_once
def _trainable(graph: Graph) -> int:
    return sum(own_trained(op) + sum(count * _trainable(body) for body, count in owned(op)) for op in graph.ops)


@dataclass(frozen=True)
class _Mean:
    """What a node computes on average, itself and on heads."""

    own: float
    heads: Mapping[str, float]


class _Means(NamedTuple):
    """If all leave at the first exit; over where samples leave; over where the last sample of a batch leaves."""

    least: _Mean | None
    compacted: _Mean | None
    uncompacted: _Mean | None


def _means(part: Flops, shares: Sequence[float] | None, load: Sequence[float] | None, batch: int) -> _Means:
    if part.branches:
        costs = sorted(map(_whole, part.branches))
        around = _whole(part.own) - sum(costs[-part.met :])
        least = _Mean(around + sum(costs[: part.met]), {})
        if load is None:
            return _Means(least, None, None)
        spent = part.met * sum(share * _whole(cost) for share, cost in zip(load, part.branches, strict=True))
        return _Means(least, _Mean(around + spent, {}), _Mean(around + spent, {}))
    first = [1, *(0 for _ in part.exits[1:])]  # whole, as large as they may be
    last = None if shares is None else last_of(shares, batch)
    return _Means(_mean(part, first), _mean(part, shares), _mean(part, last))


def _with_heads(name: str, own: _Mean | None, askers: Sequence[_Mean | None]) -> float | None:
    """What a node computes itself, and as the head of stacks; None where one of them is not known."""
    known = [asker for asker in askers if asker is not None]
    if own is None or len(known) < len(askers):
        return None
    return own.own + sum(asker.heads[name] for asker in known)


def _mean(part: Flops, shares: Sequence[float] | None) -> _Mean | None:
    """Over where samples leave; None where that is not known."""
    if not part.exits:
        return _Mean(_whole(part.own), {})
    if shares is None:
        return None
    pairs = list(zip(shares, part.exits, strict=True))
    heads = {name: sum(share * _whole(spent.heads[name]) for share, spent in pairs) for name in part.heads}
    return _Mean(sum(share * _whole(spent.own) for share, spent in pairs), heads)


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _listed(shares: Sequence[float] | None) -> list[float] | None:
    return None if shares is None else list(shares)


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
