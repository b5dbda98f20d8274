"""The price of a spec: parameters, FLOPs and memory, of the whole and of each node. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

from mmspec.cost.breakdown import groups, nodes
from mmspec.cost.communication import communication
from mmspec.cost.counts import trained_and_shared
from mmspec.cost.coverage import Hole, holes, reason, without
from mmspec.cost.decoding import Decoding, decoding
from mmspec.cost.flops import Flops, Sizes, op_flops
from mmspec.cost.ledger import Entry, ledger
from mmspec.cost.measured import Measured
from mmspec.cost.memory import peak_activations
from mmspec.cost.nodes import NodePrice, means_of, node_price
from mmspec.cost.routing import WEIGHT_BYTES, ExpertsPrice, Known, experts_of
from mmspec.cost.step import HALF, PRECISIONS, Step
from mmspec.errors import UserError
from mmspec.ir import Graph
from mmspec.passes import lower, lower_objectives
from mmspec.spec import ModelSpec

if TYPE_CHECKING:
    from mmspec.cost.devices import Device
    from mmspec.cost.on_device import OnDevice
    from mmspec.cost.training import Memory

SCHEMA = 1  # of the dictionary; raised when a figure changes its meaning


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
    means = {name: means_of(part, rates.get(name), routes.get(name), batch) for name, (_, part) in priced.items()}
    nodes = tuple(node_price(name, roles[name], priced, means, sizes, rates, sources) for name in roles)
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


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


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
