"""How well classes are told: right answers by weight, by group and by class.

accuracy    sum of the weights of right answers / sum of weights
loss        weighted mean of -log p(right answer), nats; null where it is infinite
confusion   rows: the true class, columns: the answer; counts of examples
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mmspec.data.batch import Batch


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
