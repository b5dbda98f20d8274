"""From a spec to a file that runs elsewhere, with the proof that it is the model: every step down to a package, or an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from mmspec.deploy.contents import contents_of, write_package
from mmspec.deploy.draft import Draft, draft_of
from mmspec.deploy.liveness import live_parameters
from mmspec.deploy.parity import Parity
from mmspec.deploy.report import Report, accuracy_of, environment, files_facts, sha256
from mmspec.deploy.staged import StagedDraft, staged_draft_of
from mmspec.deploy.subject import subject_of
from mmspec.deploy.target import Target, load_target
from mmspec.errors import UserError
from mmspec.files import check_replaceable
from mmspec.spec import ModelSpec

Progress = Callable[[str], None]


def export(
    spec_or_folder: ModelSpec | str | Path,
    target: Target | str | Path,
    out: str | Path,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> Report:
    """Write the package of a model for a target into the folder `out`, after the file has been proved to be the model.

    spec_or_folder  a spec, the path or name of one (its weights are then fresh, drawn from `seed`, and the report says so), or
                    the folder of a built or trained model
    target          a target, the path or the name of one
    progress        told each step in a few words

    Raises   SpecError, UserError: what the user can mend.   Failure: the file is not the model, or the disk is full. Then `out` is
             as it was before.
    """
    require_packages()
    target = target if isinstance(target, Target) else load_target(target)
    check_replaceable(Path(out))
    clock = _Clock(progress)
    subject = subject_of(spec_or_folder, seed)
    draft = staged_draft_of(subject, target, clock) if target.exits == "stages" else draft_of(subject, target, clock)
    with clock("check its structure"):
        structure = draft.check()
    with clock("compare with torch"):
        parity = draft.prove(progress)
    report, content = report_of(draft, structure, parity, Path(out), clock.seconds)
    with clock("write the package"):
        write_package(report, content, draft.subject)
    return report


def report_of(
    draft: Draft | StagedDraft, structure: tuple[str, ...], parity: Parity, out: Path, seconds: Mapping[str, float]
) -> tuple[Report, dict[str, bytes]]:
    """What is known of a draft that passed, and its files by name."""
    live = live_parameters(draft.graph)
    weights = {name: array for name, array in draft.weights.items() if name in live}
    protos = draft.files.protos
    files = {name: proto.SerializeToString(deterministic=True) for name, proto in protos.items()}
    report = Report(
        folder=out,
        model=draft.subject.spec.name,
        spec_sha256=sha256(draft.subject.spec.to_yaml().encode()),
        weights=draft.subject.origin,
        trained=draft.subject.metrics is not None,
        accuracy=accuracy_of(draft.subject),
        target=draft.target,
        contract=draft.contract,
        file=files_facts(protos, files, weights),
        structure=structure,
        parity=parity,
        environment=environment(),
        seconds=seconds,
    )
    return report, contents_of(draft, {**files, **draft.accessories})


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
