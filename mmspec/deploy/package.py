"""From a spec to a file that runs elsewhere, with the proof that it is the model: every step down to a package, or an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from mmspec import openvino_runtime
from mmspec.deploy.addition import Addition
from mmspec.deploy.beside import additions, foreseen
from mmspec.deploy.contents import as_json, contents_of, write_package
from mmspec.deploy.draft import Draft, Step, draft_of
from mmspec.deploy.file import FILE
from mmspec.deploy.licences import read_licences, told
from mmspec.deploy.liveness import live_parameters
from mmspec.deploy.measurement import Measured, measured, written
from mmspec.deploy.opinion import second_opinion
from mmspec.deploy.parity import Parity
from mmspec.deploy.precision.lowering import Lowered, in_precision
from mmspec.deploy.report import Report, accuracy_of, environment, files_facts, sha256
from mmspec.deploy.rounding import TIMES, with_rounding
from mmspec.deploy.staged import StagedDraft, halts, staged_draft_of
from mmspec.deploy.subject import Subject, subject_of
from mmspec.deploy.target import Target, load_target
from mmspec.deploy.writing import WritingDraft, writing_draft_of
from mmspec.errors import Failure, UserError
from mmspec.files import check_replaceable
from mmspec.packaged import verify
from mmspec.packaged.layout import MEASUREMENTS, ONNX
from mmspec.spec import ModelSpec

Progress = Callable[[str], None]


def export(
    spec_or_folder: ModelSpec | str | Path,
    target: Target | str | Path,
    out: str | Path,
    seed: int = 0,
    progress: Progress = lambda text: None,
    licences: str | Path | Iterable[str | Path] = (),
) -> Report:
    """Write the package of a model for a target into the folder `out`, after the file has been proved to be the model.

    spec_or_folder  a spec, the path or name of one (its weights are then fresh, drawn from `seed`, and the report says so), or
                    the folder of a built or trained model
    target          a target, the path or the name of one
    progress        told each step in a few words
    licences        files with the licences of weights, data and tokenizers, which go into the package beside those in the folder's
                    `licences/`; without any, manifest.json and the report say "not stated"

    Raises   SpecError, UserError: what the user can mend.   Failure: the file is not the model, or the disk is full. Then `out` is
             as it was before.
    """
    require_packages()
    target = target if isinstance(target, Target) else load_target(target)
    if target.runtime == "openvino":
        openvino_runtime.require()
    check_replaceable(Path(out))
    clock = _Clock(progress)
    subject = subject_of(spec_or_folder, seed)
    subject = replace(subject, licences=read_licences(licences, subject.licences))
    draft = drafted(subject, target, clock)
    with clock("find what float32 costs"):
        draft, needed = within_rounding(draft)
    with clock("check its structure"):
        structure = draft.check()
    cautions = foreseen(draft, draft.files, clock)
    with clock("compare with torch"):
        parity = draft.prove(progress)
    parity.notes[:0] = needed
    beside = [second_opinion(draft, clock, progress)]
    lowered = None
    if target.precision != "fp32":
        lowered, addition = in_precision(draft, clock)
        beside.append(addition)
        cautions = foreseen(draft, lowered.files, clock)
    files = (lowered or draft).files
    placed = {name: f"{ONNX}/{name}" for name in files.protos}
    beside += additions(draft, lowered, cautions, placed, clock, progress)
    with clock("measure in a process of its own"):
        measurements = measured(target, draft.contract, written(files, draft.accessories, target.weights == "beside"))
    report, content = report_of(
        draft, structure, parity, Path(out), clock.seconds, tuple(beside), lowered, measurements
    )
    with clock("write the package"):
        write_package(report, content, draft.subject, run_elsewhere)
    return report


def within_rounding(
    draft: Draft | StagedDraft | WritingDraft,
) -> tuple[Draft | StagedDraft | WritingDraft, list[str]]:
    """The draft, whose file may be off by as much as float32 needs; and in words, where that is more than the target says."""
    before = draft.target.verify
    verify = with_rounding(before, draft.module, draft.contract)
    words = [
        f"{name} may be off by {limit.tolerance:.2g}, {TIMES:g} times what torch's own float32 is off by from float64"
        for name, limit in verify.outputs.items()
        if limit != before.outputs.get(name)
    ]
    if verify.lead != before.lead:
        words.append(
            f"two experts are all but tied within {verify.lead:.2g}, {TIMES:g} times what float32 moves a lead by"
        )
    return replace(draft, target=draft.target.model_copy(update={"verify": verify})), words


def drafted(subject: Subject, target: Target, step: Step) -> Draft | StagedDraft | WritingDraft:
    """The files that a target asks for."""
    if target.decoding == "cache":
        return writing_draft_of(subject, target, step)
    staged = target.exits == "stages" and halts(subject.spec)
    return staged_draft_of(subject, target, step) if staged else draft_of(subject, target, step)


def report_of(
    draft: Draft | StagedDraft | WritingDraft,
    structure: tuple[str, ...],
    parity: Parity,
    out: Path,
    seconds: Mapping[str, float],
    beside: tuple[Addition, ...] = (),
    lowered: Lowered | None = None,
    measurements: Measured | None = None,
) -> tuple[Report, dict[str, bytes]]:
    """What is known of a draft that passed, and its files by name.

    lowered   it in the target's precision, where that is not the draft's
    """
    live = live_parameters(draft.graph)
    weights = {name: array for name, array in draft.weights.items() if name in live}
    runs = (lowered or draft).files
    content = written(runs, {}, draft.target.weights == "beside")
    plan = next((name for name in draft.accessories if name.endswith(".json")), FILE)
    report = Report(
        folder=out,
        model=draft.subject.spec.name,
        spec_sha256=sha256(draft.subject.spec.to_yaml().encode()),
        weights=draft.subject.origin,
        licence=told(draft.subject.licences),
        trained=draft.subject.metrics is not None,
        accuracy=accuracy_of(draft.subject),
        target=draft.target,
        contract=draft.contract,
        file=files_facts(runs.protos, content, weights, plan),
        structure=structure,
        parity=parity,
        environment=environment(),
        seconds=seconds,
        beside=beside,
        measurements=measurements,
    )
    package = contents_of(draft, {**content, **draft.accessories}, lowered)
    for addition in beside:
        package |= addition.files
    if measurements is not None:
        package[MEASUREMENTS] = as_json(measurements.to_dict())
    return report, package


def run_elsewhere(folder: Path) -> None:
    """The last gate: a process that knows nothing but the folder finds it whole, and gets the golden answers.   Raises Failure."""
    found = verify(folder)
    if not found.passed:
        told = "\n".join(f"  {problem}" for problem in found.problems)
        raise Failure(f"the package, read by another process, is not what was proved; nothing was written:\n{told}")


def require_packages() -> None:
    """Raise UserError, with the line that installs them, unless ONNX can be written and run."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UserError(f"export needs {' and '.join(missing)}: pip install {' '.join(missing)}")


class _Clock:
    """Tells each step and keeps how long it took."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        self.progress(step)
        start = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - start
