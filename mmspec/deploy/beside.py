"""What a target asks for beside the files: asked before anything is proved whether it can be, and made of what was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from mmspec.deploy.addition import Addition
from mmspec.deploy.draft import Draft, Step
from mmspec.deploy.file import Load
from mmspec.deploy.parity import Runnable
from mmspec.deploy.precision.fidelity import told
from mmspec.deploy.precision.lowering import Lowered
from mmspec.deploy.staged import Files, StagedDraft
from mmspec.deploy.tensorrt import building as tensorrt
from mmspec.deploy.tensorrt.building import Proof
from mmspec.deploy.tensorrt.parsing import Finding
from mmspec.deploy.triton import repository as triton


def foreseen(draft: Draft | StagedDraft, files: Runnable, step: Step) -> tuple[Finding, ...]:
    """What the target's runtime may stumble over in files of the draft.   Raises SpecError: what it does not take, at the lines of
    the spec."""
    if draft.target.tensorrt is None:
        return ()
    with step(f"hold it against the parser of TensorRT {draft.target.tensorrt.version}"):
        return tensorrt.check(draft, files)


def additions(
    draft: Draft | StagedDraft,
    lowered: Lowered | None,
    cautions: tuple[Finding, ...],
    placed: Mapping[str, str],
    step: Step,
    progress: Callable[[str], None],
) -> Iterator[Addition]:
    """Of a draft that passed.

    lowered  the same in the target's precision, where that is not float32
    placed   where in the package each file lies, by its name

    Raises   Failure: an engine that is not the model, a configuration that does not describe its file
    """
    target, files = draft.target, lowered.files if lowered else draft.files
    if (options := target.tensorrt) is not None:
        with step("engines"):

            def proof(load: Load) -> Proof:
                if lowered is not None:
                    fidelity = lowered.prove(load, f"TensorRT {options.version} on CUDA")
                    return fidelity.to_dict(), tuple(told(fidelity))
                parity = draft.prove(lambda text: progress(f"engine: {text}"), load)
                worst = max(parity.max_error.values(), default=0.0)
                return parity.to_dict(), (f"largest error {worst:.2g} in {len(parity.compared)} cases",)

            yield tensorrt.addition(draft, files, proof, cautions, placed)
    if target.serving is not None and target.serving.triton is not None:
        with step("write Triton's repository"):
            plan = files.plan if isinstance(files, Files) else None
            name = draft.subject.spec.name
            yield triton.addition(name, files.protos, draft.contracts, draft.contract, target, plan)
