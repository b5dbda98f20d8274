"""How well a model answers: accuracy with its standard error, by group, by class, by exit, and against what is trivial.

accuracy         sum of the weights of right answers / sum of weights; the mean over heads where there are several
standard_error   sqrt(p (1 - p) / n), n the independent examples of the split (scans, not questions about them)
loss             weighted mean of -log p(right answer), nats; null where it is infinite
confusion        rows: the true class, columns: the answer; counts of examples

What is learned of pictures alone has measures of its own (`mmspec.training.reconstruction`, `mmspec.training.nearest`); its
accuracy counts where no head answers what is on a picture, and is null where nothing does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.data.batch import Batch, Dataset
from mmspec.data.demand import Itself, Target
from mmspec.training.guesses import TokenTally
from mmspec.training.modes import evaluating
from mmspec.training.nearest import collapsed, nearest, of_pixels
from mmspec.training.reconstruction import BLIND, limits, masked_loss
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
    heads = {head: tally.report() for head, tally in tallies.items()}
    heads |= {judged.head: _of_itself(module, data, judged, split, size) for judged in data.itself}
    told = [heads[head]["accuracy"] for head in tallies or heads if "accuracy" in heads[head]]
    accuracy = sum(told) / len(told) if told else None
    return {
        "accuracy": accuracy,
        "standard_error": None if accuracy is None else standard_error(accuracy, data.examples(split)),
        "examples": data.examples(split),
        "baselines": data.baselines(split) if told else {},
        "heads": heads,
    }


def _of_itself(module: nn.Module, data: Dataset, judged: Itself, split: str, size: int) -> dict[str, Any]:
    if judged.objective.type == "masked_patches":
        return {"loss": masked_loss(module, data, judged, split, size)}
    return nearest(module, data, judged, split, size)


def with_limits(
    metrics: dict[str, Any], module: nn.Module, untrained: nn.Module, data: Dataset, split: str, size: int
) -> dict[str, Any]:
    """The metrics of a split, and what is reached there without learning: what a report says beside them, once."""
    heads = dict(metrics["heads"])
    baselines = dict(metrics["baselines"])
    for judged in data.itself:
        found = dict(heads[judged.head])
        if judged.objective.type == "masked_patches":
            found["limits"] = limits(module, data, judged, split, size)
        elif "accuracy" in found:
            before = nearest(untrained, data, judged, split, size)["accuracy"]
            found |= {"accuracy_before": before, "accuracy_of_pixels": of_pixels(data, split, size)}
            if not data.targets:
                baselines["the network before training"] = before
        heads[judged.head] = found
    return {**metrics, "heads": heads, "baselines": baselines}


def score(metrics: Mapping[str, Any]) -> float:
    """What the best weights have most of: accuracy, or, where nothing tells it, the least of the losses."""
    if metrics["accuracy"] is not None:
        return float(metrics["accuracy"])
    return -sum(head.get("loss") or 0.0 for head in metrics["heads"].values())


def _tally(data: Dataset, target: Target) -> HeadTally | RetrievalTally | TokenTally:
    if target.pair is not None:
        return RetrievalTally(target.pair)
    if target.text:
        return TokenTally()
    return HeadTally(data.groups, data.preprocessing.answers[target.head], target.classes)


def standard_error(share: float, count: int) -> float:
    """Of a share of `count` independent examples."""
    return math.sqrt(max(0.0, share * (1 - share)) / count)


def warnings_of(metrics: Mapping[str, Any]) -> list[str]:
    """What should make a reader doubt a result: an accuracy that does not exceed a baseline by two standard errors, a loss that is
    not below what simple answers reach, a teacher that says nothing."""
    lines = []
    for name, bound in metrics["baselines"].items():
        error = standard_error(bound, metrics["examples"])
        if metrics["accuracy"] <= bound + 2 * error:
            lines.append(
                f"accuracy {metrics['accuracy']:.3f} does not clearly exceed what {name} can give"
                f" ({bound:.3f} +- {error:.3f}): the model has not learnt to use everything it is given"
            )
    for head, found in metrics.get("heads", {}).items():
        for name, limit in found.get("limits", {}).items():
            if name == BLIND and found["loss"] >= limit:
                lines.append(f"{head}: the loss {found['loss']:.4f} is not below that of {name} ({limit:.4f})")
        if "entropy" in found and (how := collapsed(found)):
            lines.append(f"{head}: the teacher has collapsed, it {how}; its temperature or its centre may be at fault")
    return lines
