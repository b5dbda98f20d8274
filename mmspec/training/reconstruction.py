"""How well a masked autoencoder fills in what it has not seen.

loss      the objective's: mean squared error of the patches that were masked, their mean over a split. Which were, is drawn from
          the batch's place in the split: the same patches at every validation, of every model
limits    the same error of simple answers:
              the mean picture           of the training split, place by place: who is not below has not looked at the picture
              each patch's own mean      flat patches of the right brightness, which only who has seen them knows: who is below
                                         paints strokes
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import masked_error
from mmspec.data.batch import Dataset, seed_of
from mmspec.data.demand import Itself
from mmspec.training.modes import evaluating

BLIND, FLAT = "the mean picture", "each patch's own mean"
SEEN = 4096  # training pictures that the mean picture is made of, at most


def masked_loss(module: nn.Module, data: Dataset, judged: Itself, split: str, size: int) -> float:
    """The objective's error over a split, in evaluation mode."""
    total = 0.0
    for pixels, target, masked in _told(module, data, judged, split, size):
        total += len(pixels) * float(masked_error(pixels, target, masked, judged.objective.norm_pix_loss))
    return total / data.examples(split)


def limits(module: nn.Module, data: Dataset, judged: Itself, split: str, size: int) -> dict[str, float]:
    """What simple answers reach for the very patches that `masked_loss` asks for."""
    normalise = judged.objective.norm_pix_loss
    mean, seen = torch.zeros(()), 0
    for _, target, _ in _told(module, data, judged, "training", size):
        mean = mean + _asked(target, normalise).sum(dim=0)
        seen += len(target)
        if seen >= SEEN:
            break
    picture, flat = 0.0, 0.0
    for _, target, masked in _told(module, data, judged, split, size):
        asked = _asked(target, normalise)
        picture += len(target) * float(masked_error((mean / seen).expand_as(asked), asked, masked, False))
        flat += len(target) * float(
            masked_error(asked.mean(dim=-1, keepdim=True).expand_as(asked), asked, masked, False)
        )
    count = data.examples(split)
    return {BLIND: picture / count, FLAT: flat / count}


def _told(
    module: nn.Module, data: Dataset, judged: Itself, split: str, size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """What the head says, what it should, and what was masked, batch by batch.   f32[B, N, P], f32[B, N, P], bool[B, N]"""
    names = judged.head, f"{judged.head}.target", judged.objective.masked
    with evaluating(module, whole=True):
        for place, batch in enumerate(data.evaluation_batches(split, size)):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed_of(f"masked/{split}", place))
                outputs = module(**batch.inputs)
            pixels, target, masked = (outputs[name] for name in names)
            yield pixels, target, masked


def _asked(target: Tensor, normalise: bool) -> Tensor:
    """What the objective compares with: the pixels, or what is left of them in each patch.   [B, N, P] -> [B, N, P]"""
    if not normalise:
        return target
    return (target - target.mean(dim=-1, keepdim=True)) / (target.var(dim=-1, keepdim=True) + 1e-6).sqrt()
