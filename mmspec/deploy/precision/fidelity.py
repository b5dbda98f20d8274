"""What fewer bits cost, held to what a target allows: errors of outputs (`errors.py`), tokens of texts (`texts.py`), and right
answers on the task's validation data.

    metric     accuracy of the float32 file less that of this one, in the same runtime, on the whole validation split

Samples are those of the validation split; of a model that was not trained, random ones (`cases.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmspec.deploy.file import Load
from mmspec.deploy.parity import Runnable
from mmspec.deploy.precision.errors import Errors
from mmspec.deploy.precision.options import Loss
from mmspec.deploy.precision.task import Task
from mmspec.deploy.precision.texts import Texts
from mmspec.errors import Failure


@dataclass(frozen=True)
class Metric:
    """Accuracy on validation: of the float32 file and of this one."""

    examples: int
    float32: float
    file: float
    allowed: float

    @property
    def loss(self) -> float:
        return self.float32 - self.file

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"name": "accuracy", "loss": self.loss}


@dataclass(frozen=True)
class Fidelity:
    """What was found; all of it within what is allowed.

    samples   how many, and which
    errors    by output
    texts     what is written, of a model that writes
    largest   the largest absolute error, by output
    """

    samples: str
    runtime: str
    errors: Mapping[str, float]
    largest: Mapping[str, float]
    allowed: Mapping[str, float]
    metric: Metric | None
    texts: Texts | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"metric": self.metric.to_dict() if self.metric else None}


def judged(
    errors: Errors, loss: Loss, outputs: float, metric: Metric | None, texts: Texts | None, samples: str, runtime: str,
    notes: Sequence[str],
) -> Fidelity:  # fmt: skip
    """What was found.   Raises Failure: more was lost than is allowed, with all of it."""
    found = {name: errors.share(name) if name in errors.counted else errors.relative(name) for name in errors.size}
    allowed = {name: loss.exits if name in errors.counted else outputs for name in found}
    problems = [
        f"{name}: {found[name]:.1%} of the samples leave at another exit, where {allowed[name]:.1%} may"
        if name in errors.counted
        else f"{name}: an error of {found[name]:.3g}, where {allowed[name]:g} is allowed"
        for name in found
        if not found[name] <= allowed[name]
    ]
    if metric is not None and not metric.loss <= metric.allowed:
        told = f"{metric.float32:.4f} in float32, {metric.file:.4f} in this file"
        problems.append(
            f"validation accuracy: {told}: {metric.loss:.4f} less, where {metric.allowed:g} may be lost "
            f"({metric.examples} examples)"
        )
    if texts is not None and not texts.other <= texts.allowed:
        problems.append(
            f"texts: {texts.other:.1%} of {texts.tokens} tokens would be others, where {texts.allowed:.1%} may be"
        )
    if problems:
        raise Failure("fewer bits cost more than the target allows; nothing was written:\n  " + "\n  ".join(problems))
    return Fidelity(samples, runtime, found, dict(errors.largest), allowed, metric, texts, tuple(notes))


def metric_of(
    task: Task | None, loss: Loss, float32: Runnable, plain: Load, files: Runnable, load: Load, subject: str
) -> tuple[Metric | None, str]:
    """The accuracies, of the float32 file in `plain`, or why there are none."""
    if loss.metric is None:
        return None, "the loss of accuracy was not asked for"
    if task is None:
        return None, f"the loss of accuracy is not known: the weights are {subject}"
    if not task.judged:
        return None, f"the loss of accuracy is not known: nothing that the file answers is judged by {task.data.name}"
    before, after = task.accuracy(float32.run(plain)), task.accuracy(files.run(load))
    return Metric(task.data.examples("validation"), before, after, loss.metric), ""


def told(fidelity: Fidelity) -> list[str]:
    """What was found, in sentences."""
    rows = [f"{name} {error:.2g} of {fidelity.allowed[name]:g}" for name, error in fidelity.errors.items()]
    text = [f"against torch, in {fidelity.runtime}, on {fidelity.samples}: error {', '.join(rows)} allowed"]
    if (metric := fidelity.metric) is not None:
        text.append(
            f"validation accuracy {metric.float32:.4f} in float32, {metric.file:.4f} in this file: "
            f"a loss of {metric.loss:.4f}, where {metric.allowed:g} is allowed"
        )
    if (texts := fidelity.texts) is not None:
        text.append(
            f"{texts.tokens} tokens of {texts.texts} texts that the float32 files write: {1 - texts.other:.1%} are the same, "
            f"{1 - texts.allowed:.1%} must be; error of their logits {texts.error:.2g}"
        )
    return [*text, *fidelity.notes]
