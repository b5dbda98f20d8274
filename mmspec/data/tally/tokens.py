"""How well tokens are guessed, those that are asked for.

accuracy     right guesses / all, over the tokens of a split
loss         mean of -log p(right token), nats; null where it is infinite
perplexity   exp(loss): among how many tokens alike the model would be as unsure
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mmspec.data.batch import Batch


class TokenTally:
    """Counts for one head that answers at every token, over batches."""

    def __init__(self) -> None:
        self._asked = self._right = self._loss = 0.0

    def add(self, logits: Tensor, truth: Tensor, batch: Batch) -> None:
        """logits f32[B, N, V], truth i64[B, N], negative where nothing is asked."""
        asked = truth >= 0
        right = truth[asked]
        said = logits[asked]
        self._asked += len(right)
        self._right += float((said.argmax(dim=1) == right).sum())
        self._loss -= float(torch.log_softmax(said.double(), dim=1).gather(1, right[:, None]).sum())

    @property
    def accuracy(self) -> float:
        return self._right / self._asked if self._asked else 0.0

    def report(self) -> dict[str, Any]:
        loss = self._loss / max(1.0, self._asked)
        finite = math.isfinite(loss) and loss < 700
        return {
            "accuracy": self.accuracy,
            "loss": loss if math.isfinite(loss) else None,
            "perplexity": math.exp(loss) if finite else None,
            "groups": {},
        }
