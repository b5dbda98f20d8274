"""How a stack that may halt behaves: where samples leave it, and how right they are there. The exits of a loop are its steps.

share       of the examples that left at this exit, weighted as accuracy is
accuracy    of those that did; null where none did
if_forced   accuracy over all examples when every one leaves at this exit
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Loop, Stages
from mmspec.data.batch import Dataset
from mmspec.data.demand import Target
from mmspec.training.journeys import halting_stacks, journeys
from mmspec.training.modes import evaluating

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


def exits(spec: ModelSpec, module: nn.Module, data: Dataset, split: str, size: int) -> dict[str, list[dict[str, Any]]]:
    """For each halting node, a row per exit; empty where nothing may halt."""
    found = {}
    for node, stages, target in halting_stacks(spec, module, data):
        if target is not None:
            walked = journeys(module, stages, data, target, split, size)
            forced = [walked.mean(right) for right in walked.right]
            found[node] = _rows(_pass(module, stages, data, target, split, size), forced)
    judged = next((target for target in data.targets if not target.text and not target.pair), None)
    for path, loop in module.named_modules():
        if isinstance(loop, Loop) and judged is not None:
            found[path.split(".")[0]] = _rows(
                _pass(module, loop, data, judged, split, size),
                [_forced(module, loop, step, data, judged, split, size) for step in range(loop.steps)],
            )
    return found


@dataclass(frozen=True)
class _Passed:
    """Of every example of a split: the exit taken i64[n], whether the answer was right f64[n], what it counts f64[n]."""

    taken: Tensor
    right: Tensor
    weights: Tensor

    def accuracy(self, where: Tensor) -> float:
        return float((self.right * self.weights * where).sum() / (self.weights * where).sum())


def _rows(passed: _Passed, forced: Sequence[float]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for exit, if_forced in enumerate(forced):
        here = (passed.taken == exit).double()
        share = float((passed.weights * here).sum() / passed.weights.sum())
        accuracy = passed.accuracy(here) if share else None
        rows.append({"exit": exit, "share": share, "accuracy": accuracy, "if_forced": if_forced})
    return rows


def _forced(module: nn.Module, loop: Loop, step: int, data: Dataset, target: Target, split: str, size: int) -> float:
    """The accuracy if every example runs so many steps."""
    loop.force(step)
    try:
        passed = _pass(module, loop, data, target, split, size)
    finally:
        loop.force(None)
    return passed.accuracy(torch.ones_like(passed.right))


def _pass(module: nn.Module, stack: Stages | Loop, data: Dataset, target: Target, split: str, size: int) -> _Passed:
    seen: list[Tensor] = []
    place = stack.carried if isinstance(stack, Stages) else 1  # of the exit, after the carried values

    def note(_: nn.Module, inputs: Any, outputs: Any) -> None:
        seen.append(outputs[place])

    parts: list[tuple[Tensor, Tensor]] = []
    hook = stack.register_forward_hook(note)
    try:
        with evaluating(module):
            for batch in data.evaluation_batches(split, size):
                answers = module(**batch.inputs)[target.head].argmax(dim=1)
                parts.append(((answers == batch.targets[target.column]).double(), batch.weights.double()))
    finally:
        hook.remove()
    right, weights = (torch.cat(column) for column in zip(*parts, strict=True))
    return _Passed(torch.cat(seen), right, weights)
