"""What is known of a picture from those that lie nearest to it: how a network that was taught without labels is measured.

accuracy          a picture of a split is what the 20 training pictures with the most similar features say it is, each with the
                  weight exp(cosine / 0.07) (arXiv:1805.01978, sec. 3.4; k as in arXiv:2104.14294, table 2)
accuracy_of_pixels    the same of the pixels themselves, which no network has looked at
entropy           of what the teacher says of a picture, in nats: 0 where it is always sure, `entropy_at_most` where it never is
entropy_of_mean   of what it says on average: 0 where it says the same of every picture

The features are what the teacher's head reads of the whole picture. Where no column says what is on the pictures, there is only the
entropy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmspec.data.batch import Dataset
from mmspec.data.demand import Itself
from mmspec.training.modes import evaluating

NEIGHBOURS, TEMPERATURE = 20, 0.07
BANK = 50_000  # training pictures that are compared with, at most
COLLAPSED = 0.02  # of the highest entropy: nearer to either end, a teacher says nothing


def nearest(module: nn.Module, data: Dataset, judged: Itself, split: str, size: int) -> dict[str, Any]:
    """What is measured of a teacher on a split, in evaluation mode."""
    said: list[Tensor] = []
    features, known = seen(module, data, judged, split, size, said.append)
    chances = (torch.cat(said).double() / judged.objective.teacher_temperature).softmax(dim=1)
    mean = chances.mean(dim=0)
    entropies = {
        "entropy": float(_entropy(chances).mean()),
        "entropy_of_mean": float(_entropy(mean)),
        "entropy_at_most": math.log(len(mean)),
    }
    if known is None:
        return entropies
    bank, labels = seen(module, data, judged, "training", size)
    assert labels is not None
    return {"accuracy": agreement(features, known, bank, labels), **entropies}


def seen(
    module: nn.Module,
    data: Dataset,
    judged: Itself,
    split: str,
    size: int,
    hear: Callable[[Tensor], None] = lambda said: None,
) -> tuple[Tensor, Tensor | None]:
    """The features of a split's pictures, f32[n, D], and what is on them, i64[n], where that is known."""
    head = module.get_submodule(judged.objective.teacher)
    read: list[Tensor] = []
    features: list[Tensor] = []
    labels: list[Tensor] = []
    hook = head.get_submodule("layer1").register_forward_pre_hook(lambda _, given: read.append(given[0]))
    try:
        with evaluating(module):
            for batch in data.evaluation_batches(split, size):
                outputs = module(**batch.inputs)
                count = len(batch.weights)
                features.append(_first_view(read.pop(), count))
                hear(_first_view(outputs[judged.objective.teacher], count))
                labels += [batch.targets[data.known]] if data.known else []
                if len(features) * size >= BANK:
                    break
    finally:
        hook.remove()
    return torch.cat(features), torch.cat(labels) if labels else None


def of_pixels(data: Dataset, split: str, size: int) -> float:
    """The accuracy of pixels as features, of the first input of pictures."""

    def flat(which: str) -> tuple[Tensor, Tensor]:
        pairs = [
            (next(iter(batch.inputs.values())), batch.targets[data.known])
            for batch in data.evaluation_batches(which, size)
        ]
        pictures, labels = (torch.cat(part)[:BANK] for part in zip(*pairs, strict=True))
        return (pictures[:, 0] if pictures.dim() == 5 else pictures).flatten(1), labels

    return agreement(*flat(split), *flat("training"))


def agreement(features: Tensor, known: Tensor, bank: Tensor, labels: Tensor) -> float:
    """How many of the pictures are what their neighbours in the bank are.   f32[n, D], i64[n], f32[m, D], i64[m]"""
    bank = normalize(bank)
    classes = int(labels.max()) + 1
    right = 0
    for some, truth in zip(torch.split(features, 1024), torch.split(known, 1024), strict=True):
        cosines, places = (normalize(some) @ bank.T).topk(min(NEIGHBOURS, len(bank)), dim=1)
        votes = torch.zeros(len(some), classes)
        votes.scatter_add_(1, labels[places], (cosines / TEMPERATURE).exp())
        right += int((votes.argmax(dim=1) == truth).sum())
    return right / len(known)


def collapsed(measured: Mapping[str, Any]) -> str:
    """How a teacher has come to say nothing, or an empty text."""
    most = measured["entropy_at_most"]
    if measured["entropy_of_mean"] < COLLAPSED * most:
        return "says the same of every picture"
    return "is never surer of one prototype than of another" if measured["entropy"] > (1 - COLLAPSED) * most else ""


def _first_view(x: Tensor, count: int) -> Tensor:
    return x.view(count, -1, x.shape[-1])[:, 0]


def _entropy(chances: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(chances).sum(dim=-1)
    return entropy
