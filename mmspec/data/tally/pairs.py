"""How well pairs find each other: of a batch, each row must pick a column that goes with it, and each column a row.

accuracy   right picks of both directions / all; the batch is the set of candidates
loss       mean of -log(sum of the probabilities of all right columns), both directions, nats; null where it is infinite

What goes with what is said by ids: two samples with one id (a caption that is true of both) are right for each other.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mmspec.data.batch import Batch


class RetrievalTally:
    """Counts for one head that compares a batch with itself, over batches. `sides`: what its rows and its columns are."""

    def __init__(self, sides: tuple[str, str]) -> None:
        self._sides = sides
        self._weight = 0.0
        self._right, self._loss = [0.0, 0.0], [0.0, 0.0]

    def add(self, logits: Tensor, ids: Tensor, batch: Batch) -> None:
        """logits f32[B, B], ids i64[B]."""
        alike = ids[:, None] == ids
        self._weight += float(batch.weights.sum())
        for side, scores in enumerate((logits.double(), logits.double().t())):
            right = alike.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]
            log_right = torch.log_softmax(scores, dim=1).masked_fill(~alike, -math.inf).logsumexp(dim=1)
            self._right[side] += float((right * batch.weights).sum())
            self._loss[side] -= float((log_right * batch.weights).sum())

    @property
    def accuracy(self) -> float:
        return sum(self._right) / (2 * self._weight)

    def report(self) -> dict[str, Any]:
        loss = sum(self._loss) / (2 * self._weight)
        rows, columns = self._sides
        found = (f"{rows} finds {columns}", f"{columns} finds {rows}")
        return {
            "accuracy": self.accuracy,
            "loss": loss if math.isfinite(loss) else None,
            "groups": {name: right / self._weight for name, right in zip(found, self._right, strict=True)},
        }
