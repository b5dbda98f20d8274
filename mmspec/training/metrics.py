"""How well a model answers: accuracy with its standard error, by group, by class, by exit, and against what is trivial.

accuracy         sum of the weights of right answers / sum of weights; the mean over heads where there are several
standard_error   sqrt(p (1 - p) / n), n the independent examples of the split (scans, not questions about them)
loss             weighted mean of -log p(right answer), nats; null where it is infinite
confusion        rows: the true class, columns: the answer; counts of examples
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.data.batch import Batch, Dataset
from mmspec.data.demand import Target
from mmspec.training.guesses import TokenTally
from mmspec.training.retrieval import RetrievalTally


class HeadTally:
    """Counts for one head, over batches."""

    def __init__(self, groups: tuple[str, ...], names: tuple[str, ...], classes: int) -> None:
        self._groups, self._names = groups, names
        self._weight = self._right = self._loss = 0.0
        self._by_group = torch.zeros(2, max(1, len(groups)), dtype=torch.float64)  # right, all
        self._confusion = torch.zeros(classes, classes, dtype=torch.int64)

    def add(self, logits: Tensor, truth: Tensor, batch: Batch) -> None:
        """logits f32[B, C], truth i64[B]."""
        answers = logits.argmax(dim=1)
        right = (answers == truth).double() * batch.weights
        surprise = -torch.log_softmax(logits.double(), dim=1).gather(1, truth[:, None])[:, 0]
        self._weight += float(batch.weights.sum())
        self._right += float(right.sum())
        self._loss += float((surprise * batch.weights).sum())
        self._by_group[0].index_add_(0, batch.groups, right)
        self._by_group[1].index_add_(0, batch.groups, batch.weights)
        pairs = truth * self._confusion.shape[1] + answers
        self._confusion += torch.bincount(pairs, minlength=self._confusion.numel()).reshape(self._confusion.shape)

    @property
    def accuracy(self) -> float:
        return self._right / self._weight

    def report(self) -> dict[str, Any]:
        right, total = self._by_group.tolist()
        return {
            "accuracy": self.accuracy,
            "loss": self._loss / self._weight if math.isfinite(self._loss) else None,
            "groups": {name: right[i] / total[i] for i, name in enumerate(self._groups) if total[i]},
            "classes": list(self._names),
            "confusion": self._confusion.tolist(),
        }


def evaluate(module: nn.Module, data: Dataset, split: str, size: int) -> dict[str, Any]:
    """Metrics of a module in evaluation mode over a split, in batches of `size`; the module's mode is left as it
    was.
    """
    tallies = {target.head: _tally(data, target) for target in data.targets}
    with evaluating(module):
        for batch in data.evaluation_batches(split, size):
            outputs = module(**batch.inputs)
            for target in data.targets:
                tallies[target.head].add(outputs[target.head], batch.targets[target.column], batch)
    accuracy = sum(tally.accuracy for tally in tallies.values()) / len(tallies)
    return {
        "accuracy": accuracy,
        "standard_error": standard_error(accuracy, data.examples(split)),
        "examples": data.examples(split),
        "baselines": data.baselines(split),
        "heads": {head: tally.report() for head, tally in tallies.items()},
    }


def _tally(data: Dataset, target: Target) -> HeadTally | RetrievalTally | TokenTally:
    if target.pair is not None:
        return RetrievalTally(target.pair)
    if target.text:
        return TokenTally()
    return HeadTally(data.groups, data.preprocessing.answers[target.head], target.classes)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, for a while."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)


def standard_error(share: float, count: int) -> float:
    """Of a share of `count` independent examples."""
    return math.sqrt(max(0.0, share * (1 - share)) / count)


def warnings_of(metrics: Mapping[str, Any]) -> list[str]:
    """What should make a reader doubt a result: an accuracy that does not exceed a baseline by two standard errors."""
    lines = []
    for name, bound in metrics["baselines"].items():
        error = standard_error(bound, metrics["examples"])
        if metrics["accuracy"] <= bound + 2 * error:
            lines.append(
                f"accuracy {metrics['accuracy']:.3f} does not clearly exceed what {name} can give"
                f" ({bound:.3f} +- {error:.3f}): the model has not learnt to use everything it is given"
            )
    return lines
