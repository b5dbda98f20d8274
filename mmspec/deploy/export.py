"""From a spec to a file that runs elsewhere, with the proof that it is the model: every step down to a package, or an error."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from mmspec.deploy import report as written
from mmspec.deploy.cleaning import clean
from mmspec.deploy.contract import contract_of
from mmspec.deploy.divergence import first_divergence
from mmspec.deploy.file import proto_of
from mmspec.deploy.liveness import live_parameters
from mmspec.deploy.page import render
from mmspec.deploy.parity import Mismatch, check_parity
from mmspec.deploy.report import Report, accuracy_of, environment, file_facts, sha256, structure_checks
from mmspec.deploy.serving import serving_graph, serving_module
from mmspec.deploy.structure import check_structure
from mmspec.deploy.subject import Subject, subject_of
from mmspec.deploy.target import Target, load_target
from mmspec.deploy.tracing import traced, translated
from mmspec.deploy.watching import stacks_of
from mmspec.errors import UserError
from mmspec.files import check_replaceable, located, replace_folder
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

    with clock("build the serving form"):
        subject = subject_of(spec_or_folder, seed)
        graph = serving_graph(subject.spec)
        contract = contract_of(subject.spec, graph, target)
        module = serving_module(graph, subject)
    with clock("trace with torch.export"):
        program = traced(module, contract)
    with clock("translate to ONNX"):
        model, program = translated(program, contract, target.opset)
    with clock("clean"):
        proto = proto_of(clean(model, contract), subject.spec.name, provenance(subject, target))
    with clock("check its structure"):
        stacks = stacks_of(module)
        weights = {name: tensor.numpy() for name, tensor in (*module.named_parameters(), *module.named_buffers())}
        live = live_parameters(graph)
        conditions = sum(len(stack) - 1 for stack in stacks.values())
        check_structure(
            proto, contract, target.opset, weights, live | {f"{name}.thresholds" for name in stacks}, conditions
        )
    with clock("compare with torch"):
        try:
            parity = check_parity(proto, module, graph, contract, target.verify, progress)
        except Mismatch as mismatch:
            with suppress(Exception):  # an explanation that fails must not hide what it was to explain
                mismatch.place = first_divergence(
                    mismatch.file, program, mismatch.model, mismatch.case.inputs, target.verify.tolerance
                )
            raise

    content = proto.SerializeToString(deterministic=True)
    report = Report(
        folder=Path(out),
        model=subject.spec.name,
        spec_sha256=sha256(subject.spec.to_yaml().encode()),
        weights=subject.origin,
        trained=subject.metrics is not None,
        accuracy=accuracy_of(subject),
        target=target,
        contract=contract,
        file=file_facts(proto, content, {name: weights[name] for name in live}),
        structure=structure_checks(len(live), len(stacks), conditions, target.opset),
        parity=parity,
        environment=environment(),
        seconds=clock.seconds,
    )
    with clock("write the package"):
        write_package(report, content, subject)
    return report


def write_package(report: Report, content: bytes, subject: Subject) -> None:
    """The folder, whole or not at all."""
    contract = report.contract.to_dict(report.target.verify.tolerance)
    with replace_folder(report.folder) as folder, located(report.folder):
        (folder / written.FILE).write_bytes(content)
        (folder / written.SPEC).write_text(subject.spec.to_yaml(), encoding="utf-8")
        (folder / written.CONTRACT).write_text(json.dumps(contract, indent=2) + "\n", encoding="utf-8")
        (folder / written.VERIFICATION).write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
        (folder / written.PAGE).write_text(render(report), encoding="utf-8")
        if subject.data is not None:
            shutil.copytree(subject.data, folder / "data")


def provenance(subject: Subject, target: Target) -> dict[str, str]:
    """What the file says of itself; nothing that differs between two exports of the same model."""
    return {
        "mmspec.spec": subject.spec.name,
        "mmspec.spec_sha256": sha256(subject.spec.to_yaml().encode()),
        "mmspec.weights": subject.origin,
        "mmspec.target": target.name,
    }


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
