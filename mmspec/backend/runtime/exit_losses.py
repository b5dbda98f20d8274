"""What training makes of the answers at all exits of a stack."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropies(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """-log softmax(logits)[target] by exit and sample.   [E, B, C], i64[B] -> [E, B]"""
    target = target.expand(logits.shape[:-1])
    losses = F.cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none", label_smoothing=smoothing)
    return losses.view(logits.shape[:-1])


def weighted_mean(losses: Tensor, weights: Sequence[float]) -> Tensor:
    """sum_e weights_e mean_b losses_eb.   [E, B] -> []"""
    return losses.mean(dim=1) @ torch.tensor(weights, dtype=losses.dtype, device=losses.device)


def halting_cost(chances: Tensor, prior: float | None) -> Tensor:
    """KL(chances || the geometric distribution of `prior`, cut off at the last exit), or the expected number of exits, from 1; the
    mean over samples (PonderNet, arXiv:2107.05407, eq. 4).   [E, B] -> []"""
    count = chances.shape[0]
    number = torch.arange(count, dtype=chances.dtype, device=chances.device)
    if prior is None:
        return ((number[:, None] + 1) * chances).sum(dim=0).mean()
    geometric = prior * (1 - prior) ** number
    geometric = torch.where(number < count - 1, geometric, (1 - prior) ** number)
    surprise = (
        chances.clamp(min=1e-12).log() - geometric[:, None].log()
    )  # an exit that is never taken has a finite slope
    return (chances * surprise).sum(dim=0).mean()


def distillation(exits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(last / T) || softmax(exit / T)), the mean over the earlier exits and samples (Be Your Own Teacher,
    arXiv:1905.08094, eq. 5; T^2 as in arXiv:1503.02531, sec. 2).   [E, B, C] -> []"""
    teacher = (exits[-1:].detach() / temperature).log_softmax(dim=-1)
    student = (exits[:-1] / temperature).log_softmax(dim=-1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(dim=-1).mean()
