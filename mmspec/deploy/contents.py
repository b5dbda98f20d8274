"""What lies in a package: of a draft that passed, every file's bytes by its path; and how they become a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch

from mmspec import shipped
from mmspec.backend import header
from mmspec.backend.source import source
from mmspec.deploy.golden import golden_of
from mmspec.deploy.page import render
from mmspec.deploy.report import Report
from mmspec.deploy.subject import Subject
from mmspec.deploy.watching import stacks_of
from mmspec.errors import UserError
from mmspec.files import located, replace_folder
from mmspec.host import STAGES
from mmspec.packaged.answers import asked_of
from mmspec.packaged.layout import (
    CONTRACT,
    DATA,
    GOLDEN,
    LICENSE,
    MANIFEST,
    ONNX,
    PAGE,
    SOURCE,
    SPEC,
    VERIFICATION,
    WEIGHTS,
)
from mmspec.packaged.manifest import manifest_of
from mmspec.passes import lower
from mmspec.writer import PLAN

if TYPE_CHECKING:
    from mmspec.deploy.draft import Draft
    from mmspec.deploy.precision.lowering import Lowered
    from mmspec.deploy.staged import StagedDraft
    from mmspec.deploy.writing import WritingDraft


FORMS = {STAGES: "stages", PLAN: "writer"}  # by the plan of several files
ROUNDED = 0.02  # what an answer of a file in fewer bits may be off by where another processor's kernels round it


def contents_of(
    draft: Draft | StagedDraft | WritingDraft, files: Mapping[str, bytes], lowered: Lowered | None = None
) -> dict[str, bytes]:
    """All but what reports on it; `files` are those that run, which go into a folder of their own.

    lowered   the same files as they are run, where they are in another precision than the draft's
    """
    subject, target = draft.subject, draft.target
    verify, own = target.verify, None
    if lowered is not None:
        # a processor that has no bfloat16 computes in float32, which is as far off as the target allows
        off = target.allowed if target.precision == "bf16" else ROUNDED
        verify = verify.model_copy(update={"tolerance": off, "relative": off, "margin": off, "outputs": {}})
        own = lowered.files.run(asked_of(target.runtime, target.precision).load)
    graph = lower(subject.spec)
    state = {name: tensor.contiguous() for name, tensor in subject.state.items()}
    thresholds = {name: stack.thresholds.tolist() for name, stack in stacks_of(draft.module).items()}
    form = next((form for plan, form in FORMS.items() if plan in files), "conditions")
    contract = draft.contract.to_dict(verify, thresholds, preprocessing_of(subject))
    asked = {"device": target.device, "runtime": target.runtime, "precision": target.precision}
    ranges = {"ranges": lowered.spans} if lowered is not None and lowered.ranges else {}
    return {
        **{f"{ONNX}/{name}": data for name, data in files.items()},
        SPEC: subject.spec.to_yaml().encode(),
        SOURCE: source(graph, header(subject.spec.name, graph.name)).encode(),
        WEIGHTS: safetensors.torch.save(state, {"format": "pt"}),
        LICENSE: shipped.licence(),
        **subject.licences,
        CONTRACT: as_json(contract | {"form": form, **asked, **ranges}),
        GOLDEN: golden_of(draft.module, draft.contract, verify, own),
    }


def preprocessing_of(subject: Subject) -> Mapping[str, Any]:
    """How each input is read, as training recorded it: size, mean, standard deviation, tokenizer.

    Raises   UserError: the record is not JSON.
    """
    path = subject.data / "preprocessing.json" if subject.data else None
    if path is None or not path.is_file():
        return {}
    try:
        inputs = json.loads(path.read_text(encoding="utf-8")).get("inputs", {})
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    return dict(inputs)


def write_package(
    report: Report, content: Mapping[str, bytes], subject: Subject, judge: Callable[[Path], None] = lambda folder: None
) -> None:
    """The folder, whole or not at all; `judge` has the last word, on the folder before it is at its place."""
    with replace_folder(report.folder) as folder:
        with located(report.folder):
            for name, data in content.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            if subject.data is not None:
                shutil.copytree(subject.data, folder / DATA)
            (folder / VERIFICATION).write_bytes(as_json(report.to_dict()))
            (folder / PAGE).write_text(render(report), encoding="utf-8")
            (folder / MANIFEST).write_bytes(as_json(manifest_of(folder, report.facts())))
        judge(folder)


def as_json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
