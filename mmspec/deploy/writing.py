"""A model that writes a text, on trial: an encoder, the text's beginning and a step, and the plan by which `mmspec.writer` runs
them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from mmspec import host, writer
from mmspec.deploy.cleaning import clean
from mmspec.deploy.contract import DTYPES, Contract, Port, Range, named_dim, names_of
from mmspec.deploy.draft import Step, provenance, serving_of
from mmspec.deploy.file import Load, array, initializers, loaded, proto_of, with_arrays
from mmspec.deploy.foreign import Foreign
from mmspec.deploy.greedy import check_texts
from mmspec.deploy.liveness import live_parameters
from mmspec.deploy.parity import Parity, check_parity
from mmspec.deploy.structure import Held, problems_of, refuse
from mmspec.deploy.subject import Subject, serving_module, weights_of
from mmspec.deploy.target import Target
from mmspec.deploy.tracing import traced, translated
from mmspec.deploy.walks import walks
from mmspec.deploy.watching import stacks_of
from mmspec.host import session
from mmspec.ir import Graph
from mmspec.ir.placeholders import placeholders
from mmspec.packaged.held import stored
from mmspec.passes.text_cut import LAST
from mmspec.passes.text_step import PAST, PLACES, PRESENT
from mmspec.passes.writing import Writing, cut_for_writing
from mmspec.spec import ModelSpec, SpecError
from mmspec.writer import PLAN, Writer

if TYPE_CHECKING:
    import onnx

ENCODER, PREFILL, STEP = "encoder.onnx", "prefill.onnx", "step.onnx"


@dataclass(frozen=True)
class Files:
    """The files by name, and what writer.json holds; run by the writer."""

    protos: Mapping[str, onnx.ModelProto]
    plan: Mapping[str, Any]
    inputs: tuple[str, ...]

    def array(self, name: str) -> np.ndarray:
        return next(array(held[name]) for held in map(initializers, self.protos.values()) if name in held)

    def with_arrays(self, arrays: Mapping[str, np.ndarray]) -> Files:
        return replace(self, protos={name: with_arrays(proto, arrays) for name, proto in self.protos.items()})

    def changed(self, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Files:
        return replace(self, protos={name: change(proto) for name, proto in self.protos.items()})

    def writer(self, load: Load = session) -> Writer:
        return Writer(self.plan, {name: loaded(proto, load) for name, proto in self.protos.items()})

    def given(self, values: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
        """Inputs by name."""
        return {name: value.numpy() for name, value in zip(self.inputs, values, strict=True)}

    def run(self, load: Load = session) -> Callable[[tuple[Tensor, ...]], dict[str, np.ndarray]]:
        """Logits at every token of a whole text, one step after another."""
        model = self.writer(load)
        return lambda values: model(self.given(values))

    def tried(self, load: Load = session) -> Callable[[tuple[Tensor, ...]], dict[str, np.ndarray]]:
        """Logits at the tokens of every walk through the text, one walk after the other."""
        model = self.writer(load)

        def run(values: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
            inputs = self.given(values)
            tokens = inputs[model.text].shape[1]
            found = [logits for begin, end in walks(tokens) for logits in model.walk(inputs, begin, end)]
            return {self.plan["head"]: np.stack(found, axis=1)}

        return run

    def asked(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the module gives at the same tokens."""
        logits = outputs[self.plan["head"]]
        places = [place for begin, end in walks(logits.shape[1]) for place in range(begin - 1, end)]
        return {self.plan["head"]: logits[:, places]}


@dataclass(frozen=True)
class WritingDraft:
    """Files that nobody has checked yet, with all that is needed to check them."""

    subject: Subject
    target: Target
    graph: Graph  # serving form, of what is written alone
    contract: Contract  # of the model as one: the writer takes the same inputs
    module: nn.Module
    files: Files
    parts: Mapping[str, Graph]  # by file
    contracts: Mapping[str, Contract]
    conditions: Mapping[str, int]  # by file, how many its exits need

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The model's parameters by name."""
        return weights_of(self.module)

    @property
    def accessories(self) -> Mapping[str, bytes]:
        """What must lie beside the files for them to run: the plan, and the writer that follows it."""
        code = Path(writer.__file__).read_text(encoding="utf-8").replace("from mmspec.host import", "from host import")
        return {
            PLAN: (json.dumps(self.files.plan, indent=2) + "\n").encode(),
            "writer.py": code.encode(),
            "host.py": Path(host.__file__).read_bytes(),
        }

    def check(self) -> tuple[str, ...]:
        """The structural gate; returns in words what it made sure of.   Raises Failure."""
        refuse(self.problems(self.files))
        kept = self.files.plan["kept"]
        return (
            f"{len(self.files.protos)} files, each valid ONNX by its checker, with shapes inferred; only operators of ai.onnx "
            f"{self.target.opset}",
            "inputs and outputs of each by name, type and dimensions; every dynamic dimension symbolic",
            f"all {len(live_parameters(self.graph))} parameters that an answer depends on are in the files under their own names, "
            "bit for bit the model's, and in each file those that it needs",
            f"{len(kept) // 2} attentions keep keys and values: what the beginning and each step give is what the next step takes",
            "no stack traces, no paths, nothing outside the files",
        )

    def problems(self, files: Files, held: Held | None = None) -> Iterator[str]:
        """What is wrong with the structure of files of this model.   held: how they hold their weights, where not as they are"""
        return _problems(self, files, held)

    def prove(
        self, progress: Callable[[str], None] = lambda text: None, load: Load = session, own: bool = False
    ) -> Parity:
        """The parity gate, in the runtime `load`: logits at tokens of a beginning and of steps from there, then whole texts.
        own: with the model's own weights only   Raises Mismatch, Failure."""
        said = (self.files, self.module, self.graph, self.contract, self.target.verify, progress, load, own)
        parity = check_parity(*said)
        parity.compared += check_texts(*said)
        return parity


def writing_draft_of(subject: Subject, target: Target, step: Step = lambda text: nullcontext()) -> WritingDraft:
    """The steps from weights to files.   Raises SpecError: a model that does not write token by token; UserError, Failure."""
    with step("build the serving form"):
        graph, contract, module = serving_of(subject, target)
        cut = cut_for_writing(subject.spec, graph)
        if _row(graph, cut) not in contract.dims:
            message = f"{cut.text} has no room to go on: what is written about keeps all of its places"
            raise SpecError([subject.spec.diagnostic(f"inputs.{cut.text}.length", message)])
        graph = replace(graph, outputs={cut.head: graph.outputs[cut.head]})
        contract = replace(contract, outputs=tuple(port for port in contract.outputs if port.name == cut.head))
    parts = {ENCODER: cut.encoder, PREFILL: cut.prefill, STEP: cut.step}
    parts_there = {name: part for name, part in parts.items() if part is not None}
    contracts = {name: _contract(part, graph, contract, cut) for name, part in parts_there.items()}
    foreign, protos, conditions = Foreign.of(subject.spec, graph), {}, {}
    for name, part in parts_there.items():
        with step(f"trace and translate {name.removesuffix('.onnx')}"):
            piece = serving_module(part, subject)
            conditions[name] = sum(stack.earlier for stack in stacks_of(piece).values())
            model, _ = translated(traced(piece, contracts[name], foreign), contracts[name], target.opset)
            protos[name] = proto_of(clean(model, contracts[name]), subject.spec.name, provenance(subject, target))
    files = Files(protos, plan_of(subject.spec, graph, contract, cut), tuple(port.name for port in contract.inputs))
    return WritingDraft(subject, target, graph, contract, module, files, parts_there, contracts, conditions)


def _contract(part: Graph, graph: Graph, whole: Contract, cut: Writing) -> Contract:
    """What a file takes and gives, in the words of the whole model's contract."""
    names = {**names_of(graph), PAST: "past_length"}
    fixed = {
        names[str(symbol)]: size
        for value, given in zip(graph.inputs, whole.inputs, strict=True)
        for symbol, size in zip(value.shape, given.dims, strict=True)
        if isinstance(size, int) and not isinstance(symbol, int)
    }
    longest = part.limits.get(PAST, 0)
    dims = {**whole.dims, "past_length": Range(1, longest, max(1, min(5, longest - 1)))}
    known = {port.name: port for port in (*whole.inputs, *whole.outputs)}

    def port(name: str, value: Any) -> Port:
        shape = tuple(named_dim(dim, names, fixed) for dim in value.shape)
        told = known.get(name)
        bound, places = (told.bound, told.places) if told is not None else (0, ())
        return Port(name, DTYPES[value.dtype], shape, _meaning(name, told, cut), bound, places)

    inputs = tuple(port(value.name, value) for value in part.inputs)
    outputs = tuple(port(name, value) for name, value in part.outputs.items())
    used = {str(dim).partition(" ")[0] for each in inputs for dim in each.dims if isinstance(dim, str)}
    return Contract(inputs, outputs, {name: size for name, size in dims.items() if name in used})


def _meaning(name: str, told: Port | None, cut: Writing) -> str:
    kind, _, rest = name.partition(".")
    if name == cut.head:
        return "logits of the token that comes next"
    if told is not None:
        return told.meaning
    own = {
        f"{cut.text}.{LAST}": "the token of the beginning at which it is answered",
        f"{cut.text}.{PLACES}": f"where the tokens of {cut.text} stand, the new one last",
        f"{cut.text}.{PRESENT}": f"which tokens of {cut.text} are present, the new one last",
    }
    kinds = {
        "context": "what the text is written about",
        "past": f"{rest} of the tokens before",
        "present": f"{rest} of all tokens so far",
    }
    return own.get(name) or kinds[kind]


def _row(graph: Graph, cut: Writing) -> str:
    """The name of the text's length."""
    return names_of(graph)[str(next(value for value in graph.inputs if value.name == cut.text).shape[1])]


def plan_of(spec: ModelSpec, graph: Graph, whole: Contract, cut: Writing) -> dict[str, Any]:
    """What writer.json holds: see `mmspec.writer.Writer`."""
    batch = next(value for value in graph.inputs if value.name == cut.text).shape[0]
    text: Any = spec.inputs[cut.text]
    encoded = cut.encoder.outputs if cut.encoder is not None else {}
    ends = dict.fromkeys(each for each in (text.end, text.pad) if each is not None)
    return {
        "format": 1,
        "files": {"encoder": ENCODER if cut.encoder is not None else None, "prefill": PREFILL, "step": STEP},
        "text": cut.text,
        "mask": f"{cut.text}_mask",
        "head": cut.head,
        "length": whole.dims[_row(graph, cut)].high,
        "stop": list(ends),
        "places": sorted({place.id for place in placeholders(graph) if place.input == cut.text}),
        "kept": list(cut.kept),
        "whole": [name for name, value in encoded.items() if value.shape[:1] != (batch,)],
    }


def _problems(draft: WritingDraft, files: Files, held: Held | None) -> Iterator[str]:
    weights, protos = draft.weights, files.protos
    if set(protos) != set(draft.parts):
        yield f"the files are {sorted(protos)}, where {sorted(draft.parts)} are needed"
        return
    for name, part in draft.parts.items():
        live = live_parameters(part)
        found = problems_of(
            protos[name], draft.contracts[name], draft.target.opset, weights, live, draft.conditions[name], 0, held
        )
        yield from (f"{name}: {problem}" for problem in found)
        foreign = sorted(stored(protos[name]).keys() & (draft.subject.state.keys() - live))
        yield from (f"{name}: the weight {weight} is not needed there" for weight in foreign)
    every = {weight for proto in protos.values() for weight in stored(proto)}
    yield from (
        f"the weight {weight} is in none of the files" for weight in sorted(live_parameters(draft.graph) - every)
    )
