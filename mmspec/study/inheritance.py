"""Which finished training a new one begins with, and what it has of it: the trained weights of the nodes that are the same in both.

    same        what the spec says of the node, the weights that it asks for, and the names and shapes of all its tensors
    parent      of all finished trainings, the one whose same nodes have the most parameters; of several, the one that is better in
                what is learned, objective by objective; then the one with the lowest number

It is a function of what the store holds when a training is proposed, and is written down with the training. A node that is the
average of another is not inherited: it begins where that one does. Modules of unknown content (`g.opaque`) begin fresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmspec.ir import Parameter, parameters
from mmspec.ir.graph import operations
from mmspec.passes import lower
from mmspec.passes.averages import averages
from mmspec.spec.describe import record
from mmspec.spec.weights import WHOLE
from mmspec.study.candidate import Candidate, digest_of
from mmspec.training.inheritance import Inheritance

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec
    from mmspec.study.plan import Plan
    from mmspec.study.result import Trained

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Parent:
    """What a training begins with.

    trial       the number of the training that it has it from;   folder   that one's name, beside its own
    nodes       those that are the same in both
    share       of its own parameters, those that are in them
    generation  how many trainings these weights may have behind them
    """

    trial: int
    folder: str
    nodes: tuple[str, ...]
    share: float
    generation: int = 1

    def of(self, folder: Path) -> Inheritance:
        """As a training in `folder` reads it."""
        return Inheritance(folder.parent / self.folder / WEIGHTS, self.nodes)

    @staticmethod
    def read(data: Mapping[str, Any] | None) -> Parent | None:
        """From what `asdict` made of it."""
        return None if data is None else Parent(**{**data, "nodes": tuple(data["nodes"])})


@dataclass(frozen=True)
class Node:
    """What a node is, as a digest, and how many parameters it has."""

    identity: str
    parameters: int


class Heritage:
    """Finds parents, and remembers the nodes of what was trained."""

    def __init__(self, planned: Plan) -> None:
        self.planned = planned
        self._known: dict[str, dict[str, Node]] = {}

    def parent(self, candidate: Candidate, trained: Sequence[Trained]) -> Parent | None:
        """None where no finished training has a node in common with it."""
        own = self._nodes(candidate.digest, candidate.params)
        learned = [o for o in self.planned.study.objectives if o.name not in self.planned.exact]

        def rank(t: Trained) -> tuple[int, tuple[float, ...], int]:
            found = sum(own[name].parameters for name in self._same(own, t))
            return -found, tuple(o.cost(t.values[o.name]) for o in learned), t.trial

        best = min(trained, key=rank, default=None)
        if best is None or not (most := -rank(best)[0]):
            return None
        share = most / sum(node.parameters for node in own.values())
        generation = best.parent.generation + 1 if best.parent else 1
        return Parent(best.trial, best.folder.name, self._same(own, best), share, generation)

    def _same(self, own: Mapping[str, Node], trained: Trained) -> tuple[str, ...]:
        theirs = self._nodes(trained.digest, trained.params)
        return tuple(name for name, node in own.items() if node.identity and theirs.get(name) == node)

    def _nodes(self, digest: str, params: Mapping[str, Any]) -> dict[str, Node]:
        if digest not in self._known:
            self._known[digest] = nodes_of(self.planned.base.choose(dict(params)))
        return self._known[digest]


def nodes_of(spec: ModelSpec) -> dict[str, Node]:
    """Every node that has tensors, by name; without an identity where it is not to be inherited."""
    graph = lower(spec)
    tensors: dict[str, dict[str, Parameter]] = {}
    for placed in parameters(graph):
        tensors.setdefault(placed.path.partition(".")[0], {})[placed.path] = placed.parameter
    left_out = {name for name, _ in averages(spec)}
    left_out |= {path.partition(".")[0] for path, _ in operations(graph, "opaque")}
    found = {}
    for node in spec.nodes:
        if own := tensors.get(node.name):
            said = spec.weights.get(node.name) or spec.weights.get(WHOLE)
            shapes = {path: parameter.shape for path, parameter in own.items()}
            identity = digest_of([record(node.component), said and record(said), shapes])
            count = sum(parameter.size for parameter in own.values() if not parameter.buffer)
            found[node.name] = Node("" if node.name in left_out else identity, count)
    return found
