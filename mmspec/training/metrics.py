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

from torch import nn

from mmspec.data.batch import Dataset
from mmspec.data.demand import Itself
from mmspec.data.tally import tally_of
from mmspec.training.modes import evaluating
from mmspec.training.nearest import collapsed, nearest, of_pixels
from mmspec.training.reconstruction import BLIND, limits, masked_loss


def evaluate(module: nn.Module, data: Dataset, split: str, size: int) -> dict[str, Any]:
    """Metrics of a module in evaluation mode over a split, in batches of `size`; the module's mode is left as it
    was.
    """
    tallies = {target.head: tally_of(data, target) for target in data.targets}
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
