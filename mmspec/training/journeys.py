"""What a halting stack says of every example at every exit, if none leaves before: from this any thresholds can be tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Stages
from mmspec.data.batch import Dataset
from mmspec.data.demand import Target
from mmspec.training.modes import evaluating

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


@dataclass(frozen=True)
class Journeys:
    """n examples through a stack with E exits, its head at each.

    scores   f32[E - 1, n], what is held against the thresholds: an example leaves at the first exit whose score is above
    sure     f64[E, n], the probability of the head's answer
    answers  i64[E, n]
    truth    i64[n]
    weights  f64[n], what an example counts in an accuracy
    """

    scores: Tensor
    sure: Tensor
    answers: Tensor
    truth: Tensor
    weights: Tensor

    @property
    def right(self) -> Tensor:
        """bool[E, n]"""
        return self.answers == self.truth

    def exits(self, thresholds: Sequence[float] | Tensor) -> Tensor:
        """The exit of each example.   [E - 1] -> i64[n]"""
        levels = torch.as_tensor(thresholds, dtype=torch.float32)
        above = self.scores > levels[:, None]
        return torch.cat([above, torch.ones_like(above[:1])]).to(torch.int8).argmax(dim=0)

    def mean(self, values: Tensor) -> float:
        """Weighted, over examples."""
        return float((values.double() * self.weights).sum() / self.weights.sum())

    def at(self, values: Tensor, exits: Tensor) -> Tensor:
        """Of each example what holds at its exit.   [E, n], i64[n] -> [n]"""
        return values.gather(0, exits[None])[0]


def halting_stacks(spec: ModelSpec, module: nn.Module, data: Dataset) -> Iterator[tuple[str, Stages, Target | None]]:
    """Each stack that may be left early: its node, its module, and what its head is judged by (None: the data has nothing)."""
    components = {node.name: node.component for node in spec.nodes}
    for path, stages in module.named_modules():
        if isinstance(stages, Stages):
            node = path.split(".")[0]
            head = getattr(getattr(components[node], "halting", None), "head", None)
            yield node, stages, next((t for t in data.targets if t.head == head and not t.text and not t.pair), None)


def journeys(module: nn.Module, stages: Stages, data: Dataset, target: Target, split: str, size: int) -> Journeys:
    """One pass over a split in which every example goes to the end of this stack."""
    scores: list[Tensor] = []
    asked: list[Tensor] = []
    parts: list[tuple[Tensor, ...]] = []

    def answers(*args: Any) -> list[Tensor]:
        found = type(stages).answers(stages, *args)
        asked.extend(found)
        return found

    def score(*args: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        found = type(stages).score(stages, *args)
        scores.append(found[0])
        return found

    stages.force(stages.earlier)
    stages.answers, stages.score = answers, score  # type: ignore[method-assign, assignment]
    try:
        with evaluating(module):
            for batch in data.evaluation_batches(split, size):
                scores.clear()
                asked.clear()
                module(**batch.inputs)
                sure, said = torch.stack(asked).double().softmax(dim=-1).max(dim=-1)
                parts.append((torch.stack(scores), sure, said, batch.targets[target.column], batch.weights))
    finally:
        del stages.answers, stages.score
        stages.force(None)
    columns = list(zip(*parts, strict=True))
    return Journeys(*(torch.cat(column, dim=-1) for column in columns))
