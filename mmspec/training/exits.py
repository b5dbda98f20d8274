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
from mmspec.training.modes import evaluating

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


def exits(spec: ModelSpec, module: nn.Module, data: Dataset, split: str, size: int) -> dict[str, list[dict[str, Any]]]:
    """For each halting node, a row per exit; empty where nothing may halt."""
    result: dict[str, list[dict[str, Any]]] = {}
    for path, stages in module.named_modules():
        if not isinstance(stages, Stages):
            continue
        node = path.split(".")[0]
        head = spec.fusion[node].halting.head  # type: ignore[attr-defined]  # every stack with stages has one
        target = next((target for target in data.targets if target.head == head), None)
        if target is not None:
            result[node] = _rows(module, stages, data, target, split, size)
    return result


def _rows(
    module: nn.Module, stages: Stages, data: Dataset, target: Target, split: str, size: int
) -> list[dict[str, Any]]:
    taken, right, weight = _pass(module, stages, data, target, split, size)
    rows: list[dict[str, Any]] = []
    for exit in range(len(stages)):
        here = weight * (taken == exit)
        share = float(here.sum() / weight.sum())
        stages.force(exit)
        try:
            _, forced, _ = _pass(module, stages, data, target, split, size)
        finally:
            stages.force(None)
        rows.append(
            {
                "exit": exit,
                "share": share,
                "accuracy": float((right * here).sum() / here.sum()) if share else None,
                "if_forced": float((forced * weight).sum() / weight.sum()),
            }
        )
    return rows


def _pass(
    module: nn.Module, stages: Stages, data: Dataset, target: Target, split: str, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The exit taken i64[n], whether the answer was right f64[n], and the weight f64[n] of every example of a split."""
    seen: list[Tensor] = []

    def note(_: nn.Module, inputs: Any, outputs: Any) -> None:
        seen.append(outputs[stages.carried + 1])  # after the carried values comes the answer, then the exit

    parts: list[tuple[Tensor, Tensor]] = []
    hook = stages.register_forward_hook(note)
    try:
        with evaluating(module):
            for batch in data.evaluation_batches(split, size):
                answers = module(**batch.inputs)[target.head].argmax(dim=1)
                parts.append(((answers == batch.targets[target.column]).double(), batch.weights))
    finally:
        hook.remove()
    right, weight = (torch.cat(column) for column in zip(*parts, strict=True))
    return torch.cat(seen), right, weight
