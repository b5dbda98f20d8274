"""A spec as a graph: each node a nested scope, wired as the spec says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from mmspec.components.objectives.base import Exits
from mmspec.ir import Graph, Scope, ShapeError, Value
from mmspec.ir.dims import Shape
from mmspec.passes.averages import unfollowable
from mmspec.passes.nodes import Nodes, Reported
from mmspec.passes.ties import unshareable
from mmspec.spec import Component, Diagnostic, ModelSpec, SpecError, WiredNode

PROGRESS = "training.progress"  # an input of losses that change as training goes on: no output has such a name


def lower_plain(spec: ModelSpec) -> Graph:
    """The graph that a spec means, before any pass.

    Inputs are the spec's, outputs its heads and what `outputs` asks for; what objectives need beside them (logits at all
    exits, balance losses) are outputs that exist in training only.   Raises SpecError, located: sizes that cannot fit, all
    of a spec's at once as far as they can be told apart.
    """
    return _Lowering(spec).graph()


def lower_objectives(spec: ModelSpec) -> Graph:
    """The losses as a graph: from the outputs of the model in training and the data's targets to `total` and its parts."""
    return _Lowering(spec).losses()


class _Lowering:
    def __init__(self, spec: ModelSpec) -> None:
        spec.require_closed()
        self.spec = spec
        self.nodes = Nodes(spec, class_name(spec.name), self.problem)
        self.root = self.nodes.root
        self.values: dict[
            str, Value
        ] = {}  # by path: "inputs.image", "encoders.image", "fusion.joint", "fusion.joint.image"
        self.problems: list[Diagnostic] = []
        self.balance: dict[str, Value] = {}  # by node

    def graph(self) -> Graph:
        for name, component in self.spec.inputs.items():
            self.values[f"inputs.{name}"] = self.nodes.input(name, component)
        for node in self.spec.nodes:
            sources = [f"{s.path}.{s.port}" if s.port else s.path for s in node.sources]
            if all(source in self.values for source in sources):
                self.node(node, [self.values[source] for source in sources])
            else:
                self.missing(node, sources)
        self.problems += (*unfollowable(self.spec, self.root.ops), *unshareable(self.spec, self.root.ops))
        if self.problems:
            raise SpecError(self.problems)
        outputs, training = self.outputs()
        return Graph(
            self.root.name,
            tuple(sorted(self.root.inputs, key=lambda value: value.optional)),  # what may be left out comes last
            tuple(self.root.ops),
            outputs,
            doc=self.spec.name,
            notes=tuple(self.nodes.notes),
            limits=dict(self.nodes.program.limits),
            training=frozenset(training),
            whole=True,
        )

    def node(self, node: WiredNode, sources: list[Value]) -> None:
        if node.name in self.root.exits:  # a head that a halting stack has applied at its exits
            self.values[node.path] = self.root.exits[node.name]
            return
        try:
            result = self.nodes.call(node, sources)
        except Reported:
            return
        except ShapeError as error:
            self.problem(node, error)
            return
        if self.root.balance:
            self.balance[node.name] = self.root.balance.pop()
        if isinstance(result, Value):
            self.values[node.path] = result
        else:
            for port, value in result.items():
                self.values[f"{node.path}.{port}" if port else node.path] = value
        while self.root.taps:
            port, value = self.root.taps.popitem()
            self.values[f"{node.path}.{port}"] = value

    def missing(self, node: WiredNode, sources: list[str]) -> None:
        """A source that is not there: either its node has failed, which is reported, or it has no such port."""
        for source in sources:
            parent = source.rpartition(".")[0]
            if source not in self.values and parent in self.values:
                ports = [path.removeprefix(f"{parent}.") for path in self.values if path.startswith(f"{parent}.")]
                hint = (
                    f"{parent} gives {', '.join(ports)}" if ports else f"{parent} gives one value; write its name alone"
                )
                message = f"{parent} has no output {source.rpartition('.')[2]!r}"
                self.problems.append(self.spec.diagnostic(f"{node.path}.from", message, hint=hint))

    def problem(self, node: WiredNode, error: ShapeError) -> None:
        path = f"{node.path}.{error.field}" if error.field else node.path
        self.problems.append(self.spec.diagnostic(path, str(error), hint=error.hint))

    def outputs(self) -> tuple[Mapping[str, Value], list[str]]:
        outputs = {name: self.values[f"heads.{name}"] for name in self.spec.heads}
        for asked in self.spec.outputs:
            if asked.endswith((".exits", ".halting")) and asked in self.root.exits:
                message, hint = f"{asked} exists in training only", "in training mode the model returns it unasked"
                raise SpecError([self.spec.diagnostic("outputs", message, hint=hint)])
            outputs[asked] = self.root.exits[asked] if asked in self.root.exits else self.asked(asked)
        training = {name: v for name, v in self.root.exits.items() if name.endswith((".exits", ".halting"))}
        training |= {f"{name}.balance": value for name, value in self.balance.items()}
        for index, objective in enumerate(map(_any, self.spec.objectives)):
            for field, name in objective.reads().items():
                value = training[name] = self.asked(name, f"objectives.{index}.{field}")
                if value.mask is not None:
                    training[f"{name}.mask"] = value.mask
        training = {name: value for name, value in training.items() if name not in outputs}
        return outputs | training, list(training)

    def asked(self, name: str, at: str = "outputs") -> Value:
        """The value that the spec names there: an input or a node furthest downstream of that name, perhaps with a port."""
        found = [path for path in self.values if name in (path, path.partition(".")[2])]
        if not found:
            hint = "there are " + ", ".join(dict.fromkeys(path.partition(".")[2] for path in self.values))
            raise SpecError([self.spec.diagnostic(at, f"there is no output {name!r}", hint=hint)])
        return self.values[found[-1]]

    def losses(self) -> Graph:
        if not self.spec.objectives:
            hint = "objectives: [{type: cross_entropy, target: answer}]"
            message = f"{self.spec.name} has no objectives: there is nothing to train for"
            raise SpecError([self.spec.diagnostic("objectives", message, hint=hint)])
        model = self.graph()
        g = Scope("Objectives", program=self.nodes.program)
        total: list[Value] = []
        outputs: dict[str, Value] = {}
        for index, loss in enumerate(map(_any, self.spec.objectives)):
            try:
                value = loss.emit(g, _Seen(g, model, loss.reads(), self.policy))
            except ShapeError as error:
                path = f"objectives.{index}.{error.field}".rstrip(".")
                raise SpecError([self.spec.diagnostic(path, str(error), hint=error.hint)]) from error
            name = base = loss.head or loss.type
            number = 1
            while name in outputs:
                name, number = f"{base}_{number}", number + 1
            outputs[name] = value.named(f"{name}_loss")
            total.append(value)
        seen = _Seen(g, model, {}, self.policy)
        for name in model.outputs:
            if name.endswith(".balance"):
                found = seen.output(name)
                if found.shape:  # of each sample: with how likely its choices were
                    total.append(g.emit("score_function", self.of_samples(g, seen, name), found).named("reinforce"))
                    found = g.emit("mean_of_samples", found)
                outputs[name] = found
                total.append(found)
        value = total[0]
        for part in total[1:]:
            value = value + part
        return Graph(
            "Objectives",
            tuple(g.inputs),
            tuple(g.ops),
            {"total": value.named("total"), **outputs},
            "What training minimises.",
        )

    def policy(self, head: str) -> Any:
        """The halting policy that asks a head at its exits."""
        policies: list[Any] = [getattr(node.component, "halting", None) for node in self.spec.nodes]
        return next(policy for policy in policies if getattr(policy, "head", None) == head)

    def of_samples(self, g: Scope, seen: _Seen, router: str) -> Value:
        """What each sample costs, over all objectives that can tell.   f32[B].   Raises SpecError: none can"""
        judged = [loss for loss in map(_any, self.spec.objectives) if hasattr(loss, "of_samples")]
        if not judged:
            node = next(node for node in self.spec.nodes if node.name == router.removesuffix(".balance"))
            message = f"{node.name} learns its routes by what each sample costs, which no objective here says"
            hint = "an objective of type cross_entropy; or method: gumbel"
            raise SpecError([self.spec.diagnostic("objectives", message, hint=hint)])
        losses: Value = reduce(add, [loss.of_samples(g, seen) for loss in judged])
        return losses.named("sample_losses")


@dataclass(frozen=True)
class _Seen:
    """What one objective may look at: inputs of the graph of losses, made when they are first asked for."""

    g: Scope
    model: Graph
    reads: Mapping[str, str]  # by field
    policy_of: Callable[[str], Any]

    def output(self, name: str) -> Value:
        name = self.reads.get(name, name)
        value = self._input(name, self.model.outputs[name])
        if value.mask is None and f"{name}.mask" in self.model.outputs:
            value.mask = self._input(f"{name}.mask", self.model.outputs[f"{name}.mask"])
        return value

    def target(self, column: str, shape: Shape, dtype: str = "i64") -> Value:
        return self._input(f"{column}_target", Value(column, shape, dtype, self.g))

    def progress(self) -> Value:
        return self._input(PROGRESS, Value("progress", (), "f32", self.g))

    def exits(self, head: str) -> Exits | None:
        name = f"{head}.exits"
        if name not in self.model.outputs:
            return None
        chances = self.output(f"{head}.halting") if f"{head}.halting" in self.model.outputs else None
        return Exits(self.output(name), chances, self.policy_of(head))

    def _input(self, name: str, like: Value) -> Value:
        known = {value.name: value for value in self.g.inputs}
        return known.get(name) or self.g.input(name, like.shape, like.dtype, like.bound)


def _any(component: Component) -> Any:
    """A component by what it can do, which its role does not declare."""
    return component


def class_name(name: str) -> str:
    """fusion_gated -> FusionGated"""
    words = "".join(c if c.isalnum() else " " for c in name).split()
    text = "".join(word[:1].upper() + word[1:] for word in words)
    return text if text and not text[0].isdigit() else f"Model{text}"
