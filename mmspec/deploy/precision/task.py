"""The task that a model was trained for: batches of its data as a file takes them, and how many answers are right.

The accuracy is what training reports: the same data, split, weights and count (`mmspec.data.tally`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmspec.backend.runtime import token_mask
from mmspec.data import Dataset, open_data
from mmspec.data.batch import Batch
from mmspec.data.tally import tally_of
from mmspec.deploy.contract import Contract
from mmspec.deploy.subject import Subject
from mmspec.errors import UserError
from mmspec.spec import ModelSpec

MASK = "_mask"
BATCH = 64
SEED = 0  # of the examples that a calibration sees

Values = tuple[Tensor, ...]  # in the order of the contract's inputs
Function = Callable[[Values], dict[str, np.ndarray]]  # a file, or a module


@dataclass(frozen=True)
class Task:
    """The data of a model, for its contract."""

    spec: ModelSpec
    contract: Contract
    data: Dataset

    def training(self, samples: int) -> list[Values]:
        """So many examples that the model was trained on, or what one of its batches more has."""
        size = min(BATCH, samples, self.contract.batch_limit)
        steps = range(-(-samples // size))
        return [self._values(self.data.training_batch(step, size, SEED)) for step in steps]

    def validation(self, batches: int | None = None) -> Iterator[tuple[Values, Batch]]:
        """The validation split; at most so many batches of it, spread over the whole."""
        size = min(BATCH, self.contract.batch_limit)
        every = list(self.data.evaluation_batches("validation", size))
        step = 1 if batches is None else max(1, len(every) // batches)
        for batch in every[::step][: batches or len(every)]:
            yield self._values(batch), batch

    @cached_property
    def judged(self) -> bool:
        """Whether an accuracy is told by what a file answers."""
        outputs = {port.name for port in self.contract.outputs}
        return bool(self.data.targets) and all(target.head in outputs for target in self.data.targets)

    def accuracy(self, answers: Function) -> float:
        """Of a function on the validation split: the mean over heads, as training reports it."""
        tallies: dict[str, Any] = {target.head: tally_of(self.data, target) for target in self.data.targets}
        for values, batch in self.validation():
            found = answers(values)
            for target in self.data.targets:
                tallies[target.head].add(torch.from_numpy(found[target.head]), batch.targets[target.column], batch)
        return float(sum(tally.accuracy for tally in tallies.values()) / len(tallies))

    def _values(self, batch: Batch) -> Values:
        return tuple(self._value(port.name, batch) for port in self.contract.inputs)

    def _value(self, name: str, batch: Batch) -> Tensor:
        if name in batch.inputs:
            return batch.inputs[name]
        text = name.removesuffix(MASK)
        if text == name or text not in batch.inputs:
            raise UserError(f"{self.data.name} has no column for the input {name}, and the file asks for it")
        column: Any = self.spec.inputs[text]
        begun = {"begun": True} if column.start is not None else {}
        return token_mask(batch.inputs[text], None, column.pad, **begun, end=column.end)


def task_of(subject: Subject, contract: Contract) -> Task | None:
    """The task of a trained model; None where no training of ours made the weights.   Raises UserError: its data is gone"""
    if subject.metrics is None:
        return None
    recipe = subject.metrics.get("recipe") or {}
    data = open_data(
        recipe.get("data", "digits_questions"), subject.spec, tokenizer=recipe.get("tokenizer", "bytes"),
        split_seed=recipe.get("split_seed", 0),
    )  # fmt: skip
    return Task(subject.spec, contract, data)
