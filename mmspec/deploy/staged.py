"""A model in stages on trial: files without control flow, and the plan by which `mmspec.host` runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from mmspec import host
from mmspec.deploy.cleaning import clean
from mmspec.deploy.contract import Contract
from mmspec.deploy.cutting import Cut, Part, cut
from mmspec.deploy.draft import Step, provenance, serving_of
from mmspec.deploy.file import Load, loaded, proto_of, with_arrays
from mmspec.deploy.foreign import Foreign
from mmspec.deploy.liveness import live_by_stage, live_parameters
from mmspec.deploy.parity import Parity, check_parity
from mmspec.deploy.splitting import halves
from mmspec.deploy.structure import Held, problems_of, refuse
from mmspec.deploy.subject import Subject, weights_of
from mmspec.deploy.target import Target
from mmspec.deploy.tracing import traced, translated
from mmspec.deploy.watching import loops_of, stacks_of
from mmspec.host import EXIT, STAGES, Host, session
from mmspec.ir import Graph
from mmspec.packaged.held import stored
from mmspec.spec import ModelSpec, SpecError

if TYPE_CHECKING:
    import onnx

BEGINNING, END = "beginning.onnx", "end.onnx"


@dataclass(frozen=True)
class Files:
    """The files by name, and what stages.json holds; run by the host."""

    protos: Mapping[str, onnx.ModelProto]
    plan: Mapping[str, Any]
    inputs: tuple[str, ...]

    def array(self, name: str) -> np.ndarray:
        assert name.endswith(".thresholds")
        return np.array(self.plan["thresholds"], np.float32)

    def with_arrays(self, arrays: Mapping[str, np.ndarray]) -> Files:
        protos = {name: with_arrays(proto, arrays) for name, proto in self.protos.items()}
        thresholds = next((value.tolist() for name, value in arrays.items() if name.endswith(".thresholds")), None)
        plan = self.plan if thresholds is None else {**self.plan, "thresholds": thresholds}
        return replace(self, protos=protos, plan=plan)

    def changed(self, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Files:
        return replace(self, protos={name: change(proto) for name, proto in self.protos.items()})

    def run(self, load: Load = session) -> Callable[[tuple[Tensor, ...]], dict[str, np.ndarray]]:
        model = Host(self.plan, {name: loaded(proto, load) for name, proto in self.protos.items()})
        return lambda given: model({name: value.numpy() for name, value in zip(self.inputs, given, strict=True)})

    tried = run

    def asked(self, outputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return outputs


@dataclass(frozen=True)
class StagedDraft:
    """Files that nobody has checked yet, with all that is needed to check them."""

    subject: Subject
    target: Target
    graph: Graph  # serving form
    contract: Contract  # of the whole: what the host takes and gives
    module: nn.Module
    stack: str
    files: Files
    contracts: Mapping[str, Contract]  # of each file

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The model's parameters by name."""
        return weights_of(self.module)

    @property
    def accessories(self) -> Mapping[str, bytes]:
        """What must lie beside the files for them to run: the plan, and the host that follows it."""
        plan = (json.dumps(self.files.plan, indent=2) + "\n").encode()
        return {STAGES: plan, "host.py": Path(host.__file__).read_bytes()}

    def check(self) -> tuple[str, ...]:
        """The structural gate; returns in words what it made sure of.   Raises Failure."""
        refuse(self.problems(self.files))
        live, exits = live_parameters(self.graph), self.files.plan["files"]["exits"]
        return (
            f"{len(self.files.protos)} files, each valid ONNX by its checker, with shapes inferred; only operators of ai.onnx "
            f"{self.target.opset}, without control flow",
            "inputs and outputs of each by name, type and dimensions; every dynamic dimension symbolic",
            f"all {len(live)} parameters that an output depends on are in the files under their own names, bit for bit the "
            "model's: in each exit's file its blocks and what is asked there, no others; in the beginning what leads to the stack",
            f"exits: {len(exits)}, in order; thresholds in stages.json are the model's",
            "no stack traces, no paths, nothing outside the files",
        )

    def problems(self, files: Files, held: Held | None = None) -> Iterator[str]:
        """What is wrong with the structure of files of this model.   held: how they hold their weights, where not as they are"""
        return _problems(self, files, held)

    def prove(
        self, progress: Callable[[str], None] = lambda text: None, load: Load = session, own: bool = False
    ) -> Parity:
        """The parity gate: what the host gives with files in the runtime `load`, against the module.   own: with the model's own
        weights only   Raises Mismatch, Failure."""
        return check_parity(self.files, self.module, self.graph, self.contract, self.target.verify, progress, load, own)


def staged_draft_of(subject: Subject, target: Target, step: Step = lambda text: nullcontext()) -> StagedDraft:
    """The steps from weights to files.   Raises SpecError: a model without one halting stack; UserError, Failure."""
    with step("build the serving form"):
        graph, contract, module = serving_of(subject, target)
        place = cut(module, _stack_of(subject, module), contract)
    foreign = Foreign.of(subject.spec, graph)
    with step("trace and translate the frame"):
        frame = _translated(place.frame(), subject, target, foreign)
        given = {EXIT, *(port.name for port in (*place.carried, *place.answer))}
        split = halves(*frame, given, [port.name for port in contract.outputs])
    files = {BEGINNING: split.beginning} | ({END: split.end} if split.end else {})
    asked = {port.name for port in split.end[1].inputs} if split.end else set()
    kept = [port.name for port in (*place.carried, *place.answer) if port.name in asked | set(split.outputs.values())]
    for number in range(place.stages.exits):
        with step(f"trace and translate exit {number}"):
            files[f"exit_{number}.onnx"] = _translated(place.exit(number, kept), subject, target, foreign)
    protos = {name: proto for name, (proto, _) in files.items()}
    contracts = {name: each for name, (_, each) in files.items()}
    plan = _plan(place, split.outputs, kept, split.end is not None)
    made = Files(protos, plan, tuple(port.name for port in contract.inputs))
    return StagedDraft(subject, target, graph, contract, module, place.path, made, contracts)


def halts(spec: ModelSpec) -> bool:
    """Whether samples may leave a stack of the model early, or a loop in it."""
    return bool(_halting(spec))


def _halting(spec: ModelSpec) -> list[str]:
    """Paths of what decides that."""
    return [
        f"{node.path}.halting" for node in spec.nodes
        if getattr(getattr(node.component, "halting", None), "type", "none") != "none"
    ]  # fmt: skip


def _stack_of(subject: Subject, module: nn.Module) -> str:
    """The halting stack's path.   Raises SpecError where there is not one"""
    stacks, loops = list(stacks_of(module)), list(loops_of(module))
    if len(stacks) == 1 and not loops:
        return stacks[0]
    halting = _halting(subject.spec)
    if loops:
        message, hint = (
            "a loop of adaptive computation time has no stages to export",
            "with exits: conditions it is one Loop",
        )
    elif stacks:
        message = f"stages are exported of one stack that samples may leave, and this is one of {len(stacks)}"
        hint = "with exits: conditions all of them are in one file"
    else:
        message, hint = "there is no stack that samples may leave, and so there are no stages", "one file is all of it"
    raise SpecError([subject.spec.diagnostic(halting[-1] if halting else "", message, hint=hint)])


def _translated(
    piece: tuple[Part, Contract], subject: Subject, target: Target, foreign: Foreign
) -> tuple[onnx.ModelProto, Contract]:
    module, contract = piece
    program = traced(module.eval(), contract, foreign)
    model, _ = translated(program, contract, target.opset)
    return proto_of(clean(model, contract), subject.spec.name, provenance(subject, target)), contract


def _plan(place: Cut, outputs: Mapping[str, str], kept: list[str], end: bool) -> dict[str, Any]:
    carried, shared, memory = ([port.name for port in ports] for ports in (place.carried, place.shared, place.memory))
    return {
        "format": 1,
        "stack": place.path,
        "files": {
            "beginning": BEGINNING,
            "exits": [f"exit_{number}.onnx" for number in range(place.stages.exits)],
            "end": END if end else None,
        },
        "thresholds": place.stages.thresholds.tolist(),
        "carried": carried,
        "shared": shared,
        "whole": place.whole,
        "memory": memory,
        "kept": kept,
        "outputs": dict(outputs),
    }


def _problems(draft: StagedDraft, files: Files, held: Held | None) -> Iterator[str]:
    protos, plan, weights = files.protos, files.plan, draft.weights
    stations, stages = live_by_stage(draft.graph), stacks_of(draft.module)[draft.stack]
    names = [f"exit_{number}.onnx" for number in range(stages.exits)]
    if plan["files"]["exits"] != names or set(protos) != set(draft.contracts):
        yield f"the plan runs {plan['files']['exits']}, where the exits are {names}"
        return
    if np.array(plan["thresholds"], np.float32).tolist() != stages.thresholds.tolist():
        yield f"the thresholds are {plan['thresholds']}, where the model has {stages.thresholds.tolist()}"
    wanted = {BEGINNING: stations.beginning, END: set()} | dict(zip(names, stations.exits, strict=True))
    for name, proto in protos.items():
        found = problems_of(proto, draft.contracts[name], draft.target.opset, weights, wanted[name], 0, 0, held)
        yield from (f"{name}: {problem}" for problem in found)
        if name in names:
            foreign = sorted(stored(proto).keys() & weights.keys() - wanted[name])
            yield from (f"{name}: the weight {weight} belongs to another file" for weight in foreign)
    every = {weight for proto in protos.values() for weight in stored(proto)}
    yield from (
        f"the weight {weight} is in none of the files" for weight in sorted(live_parameters(draft.graph) - every)
    )
