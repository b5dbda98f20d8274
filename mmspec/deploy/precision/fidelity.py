"""What fewer bits cost: each output's error, samples that leave at another exit, and right answers on the task's validation data.

    error      ||file - model|| / ||model||  over all samples, with every exit forced in turn, against the torch module
    exits      share of samples that leave elsewhere, with the thresholds as they are
    metric     accuracy of the float32 file less that of this one, in the same runtime, on the whole validation split

Samples are those of the validation split; of a model that was not trained, random ones (`cases.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from mmspec.deploy.cases import Case
from mmspec.deploy.file import Load
from mmspec.deploy.parity import Arrays, Runnable
from mmspec.deploy.precision.options import Loss
from mmspec.deploy.precision.task import Task, Values
from mmspec.deploy.watching import stacks_of
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
    largest   the largest absolute error, by output
    """

    samples: str
    runtime: str
    errors: Mapping[str, float]
    largest: Mapping[str, float]
    allowed: Mapping[str, float]
    metric: Metric | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"metric": self.metric.to_dict() if self.metric else None}


@dataclass
class Errors:
    """Sums over batches, by output."""

    difference: dict[str, float] = field(default_factory=dict)
    size: dict[str, float] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)  # integers: samples are counted for which they differ

    def add(self, name: str, model: np.ndarray, file: np.ndarray) -> None:
        if model.shape != file.shape or model.dtype != file.dtype:
            told = f"{file.dtype}{list(file.shape)} where torch gives {model.dtype}{list(model.shape)}"
            raise Failure(f"the file in fewer bits gives for {name} {told}; nothing was written")
        if not np.isfinite(file).all():
            raise Failure(f"the file in fewer bits gives for {name} a number that is not finite; nothing was written")
        away = np.abs(model.astype(np.float64) - file)
        size = float((model.astype(np.float64) ** 2).sum())
        if model.dtype != np.float32:
            self.counted.add(name)
            away, size = (away > 0).astype(np.float64), float(model.size)
        self.difference[name] = self.difference.get(name, 0.0) + float((away**2).sum())
        self.size[name] = self.size.get(name, 0.0) + size
        self.largest[name] = max(self.largest.get(name, 0.0), float(away.max(initial=0)))

    def relative(self, name: str) -> float:
        """A float output's error; 0 where both are nothing but zeros."""
        return (self.difference[name] / self.size[name]) ** 0.5 if self.size[name] else float(self.difference[name] > 0)

    def share(self, name: str) -> float:
        """Of the samples, those whose integer is another."""
        return self.difference[name] / self.size[name]


def errors_of(module: nn.Module, files: Runnable, load: Load, examples: Sequence[Values]) -> Errors:
    """The file against the module: floats with every exit forced, integers with the thresholds as they are."""
    found = Errors()
    for forced, arrays in settings(module):
        run = files.with_arrays(arrays).run(load)
        for values in examples:
            with torch.no_grad():
                wanted = {name: value.numpy() for name, value in module(*values).items()}
            got = run(values)
            for name, value in wanted.items():
                if forced == (value.dtype == np.float32):
                    found.add(name, value, got[name])
    return found


def runs_everywhere(module: nn.Module, files: Runnable, load: Load, cases: Iterable[Case]) -> None:
    """Raise Failure unless the files give numbers of the right shape for every batch, length and absent text of the gate."""
    run = files.run(load)
    for case in cases:
        with torch.no_grad():
            wanted = {name: value.numpy() for name, value in module(*case.inputs).items()}
        try:
            got = run(case.inputs)
        except Exception as error:  # the runtime's own kinds, which share no base
            reason = " ".join(str(error).split())[:300]
            raise Failure(f"the runtime cannot run the file in fewer bits, {case.name}: {reason}") from error
        for name, value in wanted.items():
            Errors().add(name, value, got[name])


def settings(module: nn.Module) -> Iterator[tuple[bool, Arrays]]:
    """Thresholds of the module, and of a file beside it: whether they are forced, and what they then are."""
    stacks = stacks_of(module)
    with restored(module):
        for exit in range(max((stack.exits for stack in stacks.values()), default=1)):
            for stack in stacks.values():
                stack.force(min(exit, stack.earlier))
            yield True, {f"{path}.thresholds": stack.thresholds.numpy().copy() for path, stack in stacks.items()}
    yield False, {}


@contextmanager
def restored(module: nn.Module) -> Iterator[None]:
    """Thresholds are afterwards what they were."""
    try:
        yield
    finally:
        for stack in stacks_of(module).values():
            stack.force(None)


def judged(
    errors: Errors, loss: Loss, outputs: float, metric: Metric | None, samples: str, runtime: str, notes: Sequence[str]
) -> Fidelity:
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
    if problems:
        raise Failure("fewer bits cost more than the target allows; nothing was written:\n  " + "\n  ".join(problems))
    return Fidelity(samples, runtime, found, dict(errors.largest), allowed, metric, tuple(notes))


def metric_of(
    task: Task | None, loss: Loss, float32: Runnable, files: Runnable, load: Load, subject: str
) -> tuple[Metric | None, str]:
    """The accuracies, or why there are none."""
    if loss.metric is None:
        return None, "the loss of accuracy was not asked for"
    if task is None:
        return None, f"the loss of accuracy is not known: the weights are {subject}"
    if not task.judged:
        return None, f"the loss of accuracy is not known: nothing that the file answers is judged by {task.data.name}"
    before, after = (task.accuracy(each.run(load)) for each in (float32, files))
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
    return [*text, *fidelity.notes]
