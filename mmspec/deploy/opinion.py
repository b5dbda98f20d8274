"""A second runtime's opinion on the float32 file: what two engines that share no code compute alike is in the file.

Where it is the target's own runtime, the file must run there, and passes the whole gate. Elsewhere it is asked with the model's
own weights and WIDER times the tolerance, since its exponentials and error functions are approximated otherwise: a runtime that
cannot run the file has no opinion, and the report says why; one that runs it and answers otherwise fails the export, as the first
would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mmspec import openvino_runtime
from mmspec.deploy.addition import Addition
from mmspec.deploy.draft import Draft, Step
from mmspec.deploy.parity import Mismatch
from mmspec.deploy.runtimes import metadata_of
from mmspec.deploy.staged import StagedDraft
from mmspec.deploy.target import Target
from mmspec.deploy.writing import WritingDraft
from mmspec.errors import Failure

NAME = "runtimes"
WIDER = 10.0


def second_opinion(draft: Draft | StagedDraft | WritingDraft, step: Step, progress: Callable[[str], None]) -> Addition:
    """Which runtimes agree on the float32 file.   Raises Failure: they do not"""
    first = f"onnxruntime {metadata_of('onnxruntime')}"
    own = draft.target.runtime == "openvino"
    if not openvino_runtime.installed():
        return _told(first, "not asked: OpenVINO is not installed")
    if not (draft.target.verify.second_opinion or own):
        return _told(first, "not asked: verify.second_opinion is false")
    second = f"openvino {openvino_runtime.version()}"
    with step("compare with torch in OpenVINO"):
        try:
            asked = draft if own else replace(draft, target=_wider(draft.target))
            parity = asked.prove(progress, openvino_runtime.openvino("f32"), own=not own)
        except Mismatch as mismatch:
            if mismatch.output == "any" and not own:
                return _told(first, f"{second} cannot run the file: {mismatch.detail}")
            raise Failure(f"in {second}, and not in {first}: {mismatch}") from mismatch
        except Failure as failure:
            if own:
                raise
            return _told(first, f"{second} has no opinion: {failure}")
    errors = {name: float(f"{error:.3g}") for name, error in parity.max_error.items()}
    agree = f"{second} agrees in {len(parity.compared)} runs, largest error {max(errors.values(), default=0.0):.2g}"
    return _told(first, agree, {"cases": len(parity.compared), "max_abs_error": errors})


def _wider(target: Target) -> Target:
    verify = target.verify
    limits = {name: WIDER * getattr(verify, name) for name in ("tolerance", "relative", "margin", "lead")}
    outputs = {name: own.times(WIDER) for name, own in verify.outputs.items()}
    return target.model_copy(update={"verify": verify.model_copy(update={**limits, "outputs": outputs})})


def _told(first: str, word: str, found: dict[str, object] | None = None) -> Addition:
    return Addition(
        NAME, facts={"first": first, "second": word, "agreement": found}, words=(f"a second runtime: {word}",)
    )
