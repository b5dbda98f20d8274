"""What a target asks for beside the files: asked before anything is proved whether it can be, and made of what was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from mmspec.deploy.addition import Addition
from mmspec.deploy.draft import Draft, Step
from mmspec.deploy.staged import StagedDraft
from mmspec.deploy.tensorrt import building as tensorrt
from mmspec.deploy.tensorrt.parsing import Finding
from mmspec.deploy.triton import repository as triton


def foreseen(draft: Draft | StagedDraft, step: Step) -> tuple[Finding, ...]:
    """What the target's runtime may stumble over.   Raises SpecError: what it does not take, at the lines of the spec."""
    if draft.target.tensorrt is None:
        return ()
    with step(f"hold it against the parser of TensorRT {draft.target.tensorrt.version}"):
        return tensorrt.check(draft)


def additions(
    draft: Draft | StagedDraft,
    cautions: tuple[Finding, ...],
    placed: Mapping[str, str],
    step: Step,
    progress: Callable[[str], None],
) -> Iterator[Addition]:
    """Of a draft that passed.

    placed   where in the package each file lies, by its name

    Raises   Failure: an engine that is not the model, a configuration that does not describe its file
    """
    target = draft.target
    if target.tensorrt is not None:
        with step("engines"):
            yield tensorrt.addition(draft, cautions, placed, progress)
    if target.serving is not None and target.serving.triton is not None:
        with step("write Triton's repository"):
            plan = draft.files.plan if isinstance(draft, StagedDraft) else None
            name = draft.subject.spec.name
            yield triton.addition(name, draft.files.protos, draft.contracts, draft.contract, target, plan)
