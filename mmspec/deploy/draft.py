"""A file on trial: the steps that make it, and the two gates that it must pass before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from torch import nn
from torch.export import ExportedProgram

from mmspec.cost.budgets import with_costs
from mmspec.deploy.cleaning import clean
from mmspec.deploy.contract import Contract, check_named, contract_of
from mmspec.deploy.divergence import first_divergence
from mmspec.deploy.file import FILE, Load, OneFile, proto_of
from mmspec.deploy.foreign import Foreign
from mmspec.deploy.liveness import live_parameters
from mmspec.deploy.parity import Mismatch, Parity, check_parity
from mmspec.deploy.report import sha256, structure_checks
from mmspec.deploy.structure import Held, problems_of, refuse
from mmspec.deploy.subject import Subject, serving_module, weights_of
from mmspec.deploy.target import Target
from mmspec.deploy.ties import check_routers
from mmspec.deploy.tracing import traced, translated
from mmspec.deploy.watching import loops_of, stacks_of
from mmspec.host import session
from mmspec.ir import Graph
from mmspec.passes import lower_serving
from mmspec.spec import ModelSpec

if TYPE_CHECKING:
    import onnx

Step = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Draft:
    """A file that nobody has checked yet, with all that is needed to check it."""

    subject: Subject
    target: Target
    graph: Graph  # serving form
    contract: Contract
    module: nn.Module
    program: ExportedProgram  # as it was translated: the file's inner values are named after its nodes
    proto: onnx.ModelProto

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The model's parameters and thresholds by name."""
        return weights_of(self.module)

    @property
    def contracts(self) -> Mapping[str, Contract]:
        """Of each file."""
        return {FILE: self.contract}

    @property
    def files(self) -> OneFile:
        return OneFile(self.proto)

    @property
    def accessories(self) -> Mapping[str, bytes]:
        """What must lie beside the file for it to run: nothing."""
        return {}

    def check(self) -> tuple[str, ...]:
        """The structural gate; returns in words what it made sure of.   Raises Failure."""
        refuse(self.problems(self.files))
        live, stacks = live_parameters(self.graph), stacks_of(self.module)
        return structure_checks(len(live), len(stacks), *self._control(), self.target.opset)

    def problems(self, files: OneFile, held: Held | None = None) -> Iterator[str]:
        """What is wrong with the structure of a file of this model.   held: how it holds its weights, where not as they are"""
        needed = live_parameters(self.graph) | {f"{name}.thresholds" for name in stacks_of(self.module)}
        return problems_of(files.proto, self.contract, self.target.opset, self.weights, needed, *self._control(), held)

    def _control(self) -> tuple[int, int]:
        """How many conditions the exits need, and how many loops there are."""
        return sum(stack.earlier for stack in stacks_of(self.module).values()), len(loops_of(self.module))

    def prove(
        self, progress: Callable[[str], None] = lambda text: None, load: Load = session, own: bool = False
    ) -> Parity:
        """The parity gate, in the runtime `load`.   own: with the model's own weights only

        Raises   Mismatch, which says where file and torch part; Failure.
        """
        verify = self.target.verify
        try:
            return check_parity(self.files, self.module, self.graph, self.contract, verify, progress, load, own)
        except Mismatch as mismatch:
            with suppress(Exception):  # an explanation that fails must not hide what it was to explain
                file = cast(OneFile, mismatch.file)
                mismatch.place = first_divergence(
                    file.proto, self.program, mismatch.model, mismatch.case.inputs, verify.tolerance, load
                )
            raise


def draft_of(subject: Subject, target: Target, step: Step = lambda text: nullcontext()) -> Draft:
    """The steps from weights to a file.   Raises SpecError, UserError (a router of ties among them), Failure."""
    with step("build the serving form"):
        graph, contract, module = serving_of(subject, target)
    with step("trace with torch.export"):
        program = traced(module, contract, Foreign.of(subject.spec, graph))
    with step("translate to ONNX"):
        model, program = translated(program, contract, target.opset)
    with step("clean"):
        proto = proto_of(clean(model, contract), subject.spec.name, provenance(subject, target))
    return Draft(subject, target, graph, contract, module, program, proto)


def serving_of(subject: Subject, target: Target) -> tuple[Graph, Contract, nn.Module]:
    """The graph that answers, what its callers may rely on, and the module that files are compared with.

    Raises   SpecError; UserError: a router of ties, a tolerance of an output that the model does not have
    """
    graph = with_costs(named_apart(lower_serving(subject.spec), subject.spec))
    module = serving_module(graph, subject)
    check_routers(module)
    contract = contract_of(subject.spec, graph, target)
    check_named(target, contract)
    return graph, contract, module


def named_apart(graph: Graph, spec: ModelSpec) -> Graph:
    """The graph with no output that bears the name of an input, which a file cannot have: `image` becomes `encoders.image`."""
    taken = {value.name for value in graph.inputs}
    paths = {node.name: node.path for node in spec.nodes}
    outputs = {paths[name] if name in taken else name: value for name, value in graph.outputs.items()}
    return replace(graph, outputs=outputs)


def provenance(subject: Subject, target: Target) -> dict[str, str]:
    """What the file says of itself; nothing that differs between two exports of the same model."""
    return {
        "mmspec.spec": subject.spec.name,
        "mmspec.spec_sha256": sha256(subject.spec.to_yaml().encode()),
        "mmspec.weights": subject.origin,
        "mmspec.target": target.name,
    }
