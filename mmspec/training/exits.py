"""How a stack that may halt behaves: where samples leave it, and how right they are there.

share       of the examples that left at this exit, weighted as accuracy is
accuracy    of those that did; null where none did
if_forced   accuracy over all examples when every one leaves at this exit
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Stages
from mmspec.data.batch import Dataset
from mmspec.data.demand import Target
from mmspec.training.journeys import halting_stacks, journeys
from mmspec.training.modes import evaluating

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


def exits(spec: ModelSpec, module: nn.Module, data: Dataset, split: str, size: int) -> dict[str, list[dict[str, Any]]]:
    """For each halting node, a row per exit; empty where nothing may halt."""
    return {
        node: _rows(module, stages, data, target, split, size)
        for node, stages, target in halting_stacks(spec, module, data)
        if target is not None
    }


def _rows(
    module: nn.Module, stages: Stages, data: Dataset, target: Target, split: str, size: int
) -> list[dict[str, Any]]:
    walked = journeys(module, stages, data, target, split, size)
    taken, right = _pass(module, stages, data, target, split, size)
    rows: list[dict[str, Any]] = []
    for exit in range(stages.exits):
        here = walked.weights * (taken == exit)
        share = float(here.sum() / walked.weights.sum())
        rows.append(
            {
                "exit": exit,
                "share": share,
                "accuracy": float((right * here).sum() / here.sum()) if share else None,
                "if_forced": walked.mean(walked.right[exit]),
            }
        )
    return rows


def _pass(
    module: nn.Module, stages: Stages, data: Dataset, target: Target, split: str, size: int
) -> tuple[Tensor, Tensor]:
    """The exit taken i64[n], and whether the answer was right f64[n], of every example of a split."""
    seen: list[Tensor] = []

    def note(_: nn.Module, inputs: Any, outputs: Any) -> None:
        seen.append(outputs[stages.carried])  # after the carried values comes the exit

    parts: list[Tensor] = []
    hook = stages.register_forward_hook(note)
    try:
        with evaluating(module):
            for batch in data.evaluation_batches(split, size):
                answers = module(**batch.inputs)[target.head].argmax(dim=1)
                parts.append((answers == batch.targets[target.column]).double())
    finally:
        hook.remove()
    return torch.cat(seen), torch.cat(parts)
