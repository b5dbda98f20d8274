"""From a draft that passed to the same model in the target's precision, which must pass gates of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from mmspec import openvino_runtime
from mmspec.deploy.addition import Addition
from mmspec.deploy.cases import cases, largest_batch, largest_case
from mmspec.deploy.draft import Draft, Step
from mmspec.deploy.file import Load, read_by, read_in
from mmspec.deploy.parity import Runnable
from mmspec.deploy.precision import blocks, dynamic, half
from mmspec.deploy.precision.calibration import Range, ranges_of
from mmspec.deploy.precision.errors import errors_of, runs_everywhere, runs_without_tokens
from mmspec.deploy.precision.fidelity import Fidelity, judged, metric_of, told
from mmspec.deploy.precision.layers import layers, rewritten
from mmspec.deploy.precision.roles import Roles, roles_of
from mmspec.deploy.precision.static import Static
from mmspec.deploy.precision.stored import Asked
from mmspec.deploy.precision.task import Task, Values, task_of
from mmspec.deploy.precision.texts import texts_of
from mmspec.deploy.runtimes import float32_load_of, load_of, name_of
from mmspec.deploy.staged import StagedDraft
from mmspec.deploy.structure import Held, refuse
from mmspec.deploy.target import Target
from mmspec.deploy.watching import stacks_of
from mmspec.deploy.writing import Files, WritingDraft
from mmspec.errors import Failure, UserError
from mmspec.packaged.held import other_steps

if TYPE_CHECKING:
    import onnx

Drafted = Draft | StagedDraft | WritingDraft
Change = Callable[["onnx.ModelProto"], "onnx.ModelProto"]
BATCHES = 4  # of validation, on which outputs are compared
RANDOM = "random inputs"


@dataclass(frozen=True)
class Lowered:
    """Files in the target's precision.

    chosen   linear layers in fewer bits, by name;   floats: those that a search left in float32
    ranges   of static activations, of the chosen layers;   source: what they were found on, "" where there are none
    """

    draft: Drafted
    task: Task | None
    roles: Roles
    chosen: tuple[str, ...]
    files: Runnable
    floats: tuple[str, ...] = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    source: str = ""
    tried: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def target(self) -> Target:
        return self.draft.target

    def check(self) -> tuple[str, ...]:
        """The structural gate once more; returns in words what it made sure of.   Raises Failure."""
        held = held_in(self.target, self.draft.weights, self.chosen, self.kept)
        refuse(self.draft.problems(self.files, held))  # type: ignore[arg-type]  # files of this very kind
        refuse(
            problem
            for proto in self.files.protos.values()
            for problem in other_steps(proto, read_in(proto), self.spans)
        )
        return tuple(self.words())

    @property
    def spans(self) -> dict[str, list[float]]:
        """The least and the largest number that each layer with static activations reads, before it is cut."""
        return {name: [seen.low, seen.high] for name, seen in self.ranges.items()}

    @property
    def kept(self) -> set[str]:
        """Initialisers that stay in float32 whatever the precision."""
        return kept_of(self.draft, self.roles)

    def prove(self, load: Load | None = None, ran: str = "") -> Fidelity:
        """What fewer bits cost, in the target's runtime as it is here, or in another, called `ran`.   Raises Failure: more than is
        allowed"""
        draft, target = self.draft, self.target
        plain = load or float32_load_of(target)
        load, ran = load or load_of(target), ran or name_of(target)
        examples, source = self._examples()
        metric, note = metric_of(self.task, target.loss, draft.files, plain, self.files, load, draft.subject.origin)
        errors = errors_of(draft.module, self.files, load, examples)
        runs_everywhere(draft.module, self.files, load, cases(draft.contract, target.verify.batches, seed=3))
        busy = runs_without_tokens(draft.module, self.files, load, draft.contract)
        texts = None
        if isinstance(draft, WritingDraft):
            assert isinstance(self.files, Files), "they are the draft's own in fewer bits"
            texts = texts_of(draft.files, plain, self.files, load, examples, target.other_tokens)
        notes = [note] if note else []
        if target.device == "cuda" and "CUDA" not in ran:
            notes.append("there is no CUDA device here: the file was run on the CPU, and not on CUDA")
        if busy:
            notes.append(f"always with tokens, and not tried without: the experts {', '.join(busy)}")
        if self.source == RANDOM:
            notes.append("ranges of activations were found on random inputs: on the task's own they may be cut")
        return judged(errors, target.loss, target.allowed, metric, texts, source, ran, notes)

    def _examples(self) -> tuple[list[Values], str]:
        """Batches, the last of them as large as those before it make one and the gate's largest is; and what they are."""
        draft, task = self.draft, self.task
        if task is None:
            found = random_examples(draft, sum(self.target.verify.batches), seed=1)
            largest = largest_case(draft.graph, draft.contract, self.target.verify.batches)
            return [*found, *([largest.inputs] if largest else [])], f"{_count(found)} random inputs"
        found = [values for values, _ in task.validation(BATCHES)]
        told = f"{_count(found)} validation examples of {task.data.name}"
        alike = [values for values in found if all(a.shape == b.shape for a, b in zip(values, found[0], strict=True))]
        times = min(len(alike), largest_batch(draft.graph, draft.contract) // len(found[0][0]))
        joined = [tuple(map(torch.cat, zip(*alike[:times], strict=True)))] if times > 1 else []
        return [*found, *joined], told

    def words(self) -> Iterator[str]:
        """What was made, in sentences."""
        target, total = self.target, len(self.roles.layers)
        if target.precision == "bf16":
            yield "the file is the float32 file: OpenVINO is told to compute in bfloat16"
            yield from self._in_float32()
            return
        kind = {
            "int8": f"int8, {target.activations} activations"
            + (f", {'s8s8' if _signed(target) else 'u8s8'}" if target.activations == "static" else ""),
            "int4": "int4 weights in blocks of 32",
            "fp16": "float16",
        }[target.precision]
        yield f"{len(self.chosen)} of {total} linear layers in {kind}"
        if target.precision != "fp16":
            yield "every weight in fewer bits is within half a step of the model's; all others are the model's bit for bit"
        else:
            yield "every weight in float16 is the model's, rounded; all others are the model's bit for bit"
        yield from self._in_float32()
        if self.floats:
            yield f"in float32, as the search found: {', '.join(self.floats)}"
        if self.source:
            yield f"ranges of activations: {self.source}"

    def _in_float32(self) -> Iterator[str]:
        if self.roles.kept:
            yield f"in float32, since they decide: {', '.join(self.roles.kept)}"


def in_precision(draft: Drafted, step: Step) -> tuple[Lowered, Addition]:
    """The draft in the target's precision, past its gates, and what there is to tell of it.

    Raises   UserError: see `lowered_of`.   Failure: it is not the model, or costs more than the target allows
    """
    lowered = lowered_of(draft, step)
    with step("check its structure again"):
        structure = lowered.check()
    with step("compare with torch again"):
        fidelity = lowered.prove()
    roles, target = lowered.roles, draft.target
    facts = {
        "precision": target.precision,
        "structure": list(structure),
        "layers": list(lowered.chosen),
        "float32": {
            "routers": list(roles.routers),
            "exits": list(roles.exits),
            "searched": list(lowered.floats),
        },
        "calibration": lowered.source or None,
        "search": [dict(row) for row in lowered.tried],
        "loss": fidelity.to_dict(),
    }
    return lowered, Addition("precision", facts=facts, words=(*structure, *told(fidelity)))


def lowered_of(draft: Drafted, step: Step) -> Lowered:
    """The draft in the target's precision.

    Raises   UserError: nothing to calibrate on, an expert that no example met, a search without a task; Failure
    """
    target, roles = draft.target, roles_of(draft.module, draft.graph)
    needs_task = target.loss.metric is not None or target.quantisation.search or target.activations == "static"
    task = task_of(draft.subject, draft.contract) if needs_task else None
    if target.precision == "bf16":
        return Lowered(draft, task, kept_by_openvino(draft, roles), (), draft.files)
    ranges: dict[str, Range] = {}
    source = ""
    if target.precision == "int8" and target.activations == "static":
        with step("calibrate"):
            ranges, source = calibrated(draft, task, roles)
    chosen = tuple(name for name in roles.layers if name in _in_files(draft, roles))
    made = Lowered(draft, task, roles, chosen, draft.files, source=source)
    if target.quantisation.search:
        from mmspec.deploy.precision.search import searched

        with step("search for the fastest assignment"):
            return searched(made, ranges)
    with step(f"write it in {target.precision}"):
        return with_layers(made, chosen, ranges)


def kept_by_openvino(draft: Drafted, roles: Roles) -> Roles:
    """The routers and exit heads that OpenVINO computes in float32 beside bfloat16, wherever a file decides by them. (At the last
    exit a head answers, and decides nothing.)

    Raises   Failure: a router that it does not
    """
    weights, wide = [f"{name}.weight" for name in roles.kept], dict[str, bool]()
    for proto in draft.files.protos.values():
        values = read_by(proto, openvino_runtime.in_float32)
        for layer in layers(proto, weights):
            wide[layer.name] = wide.get(layer.name, False) or layer.y in values
    narrow = [name for name in roles.routers if not wide.get(name, True)]
    if narrow:
        raise Failure(f"OpenVINO would compute in bfloat16, although they decide: {', '.join(narrow)}")
    return replace(roles, exits=tuple(name for name in roles.exits if wide.get(name)))


def with_layers(made: Lowered, chosen: Collection[str], ranges: Mapping[str, Range]) -> Lowered:
    """The same with these layers in fewer bits, and no others."""
    change = change_of(made.target, chosen, ranges, made.kept)
    found = {name: ranges[name] for name in chosen if name in ranges}
    return replace(made, chosen=tuple(chosen), files=made.draft.files.changed(change), ranges=found)


def change_of(target: Target, chosen: Collection[str], ranges: Mapping[str, Range], kept: Collection[str]) -> Change:
    """What becomes of each file."""
    weights = [f"{name}.weight" for name in chosen]
    if target.precision == "fp16":
        return partial(half.lowered, kept=kept)
    if target.precision == "int4":
        return partial(rewritten, weights=weights, write=blocks.write)
    if target.activations == "static":
        return partial(rewritten, weights=weights, write=Static(ranges, _signed(target)).write)
    return partial(rewritten, weights=weights, write=dynamic.write)


def held_in(target: Target, weights: Mapping[str, Any], chosen: Collection[str], kept: Collection[str]) -> Held | None:
    """How a file of the target's precision holds the weights; None: as the model does."""
    if target.precision == "bf16":
        return None
    if target.precision == "fp16":
        wanted = dict.fromkeys((f"{name}.weight" for name in chosen), "float16") | dict.fromkeys(kept, "float32")
        return Held(Asked({k: v for k, v in wanted.items() if k in weights}, ("float32", "float16")).problems)
    domains = (blocks.DOMAIN,) if target.precision == "int4" else ()
    return Held(Asked(dict.fromkeys((f"{name}.weight" for name in chosen), target.precision)).problems, domains)


def kept_of(draft: Drafted, roles: Roles) -> set[str]:
    decide = {f"{name}.{part}" for name in roles.kept for part in ("weight", "bias")}
    return decide | {f"{name}.thresholds" for name in stacks_of(draft.module)}


def calibrated(draft: Drafted, task: Task | None, roles: Roles) -> tuple[dict[str, Range], str]:
    """Ranges, and what they were found on.   Raises UserError: there is no data, or it misses an expert"""
    asked = draft.target.quantisation
    if asked.examples == "random":
        examples, source = random_examples(draft, asked.samples, seed=0), RANDOM
    elif task is None:
        raise UserError(
            f"static int8 needs the task's data to calibrate on, and the weights are {draft.subject.origin}; "
            "train the model, or say quantisation: {examples: random} to see that it runs"
        )
    else:
        examples = task.training(asked.samples)
        source = f"{_count(examples)} training examples of {task.data.name}"
    return ranges_of(draft.module, _in_files(draft, roles), examples, source), source


def random_examples(draft: Drafted, samples: int, seed: int) -> list[Values]:
    """Inputs of the gates: every length, ragged, with absent texts; at least so many samples."""
    contract, found = draft.contract, list[Values]()
    batch = min(32, contract.batch_limit)
    while _count(found) < samples:
        found += [case.inputs for case in cases(contract, [batch], seed + 10 * len(found))]
    return found


def _in_files(draft: Drafted, roles: Roles) -> list[str]:
    """The layers that the files hold as such: what no output depends on was left out."""
    weights = [f"{name}.weight" for name in roles.layers]
    there = {layer.name for proto in draft.files.protos.values() for layer in layers(proto, weights)}
    return [name for name in roles.layers if name in there]


def _signed(target: Target) -> bool:
    return target.runtime != "onnxruntime"


def _count(examples: Sequence[Values]) -> int:
    return sum(len(values[0]) for values in examples)
