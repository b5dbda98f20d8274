"""Losses of routers. They are there in training only: at inference each is 0 and computes nothing."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LoadBalance(nn.Module):
    """weight * experts * sum_e f_e P_e over the tokens that are present: f_e the share of choices that went to expert e, P_e its
    mean probability; `weight` where all experts are used alike, up to experts / k times as much.

    Shapes   probabilities [..., E], choice i64[..., k], mask bool[...] -> []
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, probabilities: Tensor, choice: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.training:
            return probabilities.new_zeros(())
        count = probabilities.shape[-1]
        present = torch.ones_like(choice[..., :1]) if mask is None else mask[..., None]
        present = present.to(probabilities.dtype).flatten(0, -2)
        total = present.sum().clamp(min=1)
        chosen = F.one_hot(choice, count + 1)[..., :count]  # nobody is no expert
        chosen = (chosen.sum(dim=-2).flatten(0, -2) * present).sum(dim=0)
        share = chosen / chosen.sum().clamp(min=1)  # f
        probability = (probabilities.flatten(0, -2) * present).sum(dim=0) / total  # P
        return self.weight * count * (share * probability).sum()


class Importance(nn.Module):
    """weight * CV(I)^2, the squared coefficient of variation of what the experts weigh, I_e = sum_x G(x)_e over the tokens that are
    present: 0 where all weigh alike, up to experts - 1 times `weight`.

    Shapes   weights [..., k], choice i64[..., k], mask bool[...] -> []
    """

    def __init__(self, experts: int, weight: float) -> None:
        super().__init__()
        self.experts = experts
        self.weight = weight

    def forward(self, weights: Tensor, choice: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.training:
            return weights.new_zeros(())
        if mask is not None:
            weights = weights * mask[..., None].to(weights.dtype)
        chosen = F.one_hot(choice, self.experts + 1)[..., : self.experts].to(weights.dtype)  # nobody weighs nothing
        importance = (weights[..., None] * chosen).flatten(0, -2).sum(dim=0)
        return self.weight * importance.var(unbiased=False) / (importance.mean().square() + 1e-10)


class Score(nn.Module):
    """How likely each sample's choices were, the sum of their logarithms over its tokens that are present, less the mean over the
    samples: what REINFORCE weighs by how good the choices turned out.

    Shapes   probabilities [B, ..., E], choice i64[B, ..., 1], mask bool[B, ...] -> [B]
    """

    def forward(self, probabilities: Tensor, choice: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.training:
            return probabilities.new_zeros(())
        taken = probabilities.gather(-1, choice).squeeze(-1).clamp(min=1e-20).log()
        if mask is not None:
            taken = taken * mask.to(taken.dtype)
        score = taken.reshape(taken.shape[0], -1).sum(dim=1)
        return score - score.mean()


def score_function(losses: Tensor, scores: Tensor) -> Tensor:
    """The mean of (loss - the mean loss of the others) * score, whose gradient is that of the mean loss by the choices
    (Williams 1992).   [B], [B] -> []"""
    batch = losses.shape[0]
    better = (losses - losses.mean()).detach() * (batch / max(1, batch - 1))
    return (better * scores).mean()


def sample_cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """-log softmax(logits)[target] of each sample.   [B, C], i64[B] -> [B]"""
    return F.cross_entropy(logits, target, label_smoothing=smoothing, reduction="none")


class ZLoss(nn.Module):
    """weight * the mean of (log sum_e exp(logit_e))^2 over the tokens that are present.   [..., E], mask bool[...] -> []"""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.training:
            return logits.new_zeros(())
        squares = logits.logsumexp(dim=-1).square()
        present = torch.ones_like(squares) if mask is None else mask.to(squares.dtype)
        return self.weight * (squares * present).sum() / present.sum().clamp(min=1)


class Diversity(nn.Module):
    """weight * the mean squared cosine between two experts' answers to one token: 0 where they are at right angles, `weight` where
    they say the same.   answers [..., k, D], mask bool[...] -> []"""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, answers: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.training:
            return answers.new_zeros(())
        k = answers.shape[-2]
        directions = F.normalize(answers, dim=-1)
        cosines = directions @ directions.transpose(-2, -1)
        others = 1 - torch.eye(k, dtype=cosines.dtype, device=cosines.device)
        alike = (cosines.square() * others).sum(dim=(-2, -1)) / (k * (k - 1))
        present = torch.ones_like(alike) if mask is None else mask.to(alike.dtype)
        return self.weight * (alike * present).sum() / present.sum().clamp(min=1)
