"""Experts: copies of one network, a few of which each token meets."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Experts(nn.ModuleList):
    """Each token is sent to the `k` experts of largest probability; an expert computes the tokens that were sent to it.

    Shapes   x [B, N, D], logits [B, N, experts], mask bool[B, N] -> [B, N, D], balance loss []
    """

    def __init__(self, experts: Iterable[nn.Module], k: int, balance: float) -> None:
        super().__init__(experts)
        self.k = k
        self.balance = balance

    def forward(self, x: Tensor, logits: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        tokens, probabilities = x.flatten(0, -2), logits.flatten(0, -2).float().softmax(dim=-1)
        weights, choice = probabilities.topk(self.k, dim=-1)  # [T, k]
        weights = weights / weights.sum(dim=-1, keepdim=True)
        answers = self.answers(tokens, choice)
        y = (answers * weights.to(x.dtype)[:, :, None]).sum(dim=1).view_as(x)
        if not self.training:
            return y, x.new_zeros(())
        return y, self.balance * self.imbalance(probabilities, choice, mask)

    def answers(self, tokens: Tensor, choice: Tensor) -> Tensor:
        """What the chosen experts make of each token.   [T, D], i64[T, k] -> [T, k, D]"""
        chosen = choice.flatten()
        if torch.compiler.is_exporting():  # every expert is in the file, whatever the example's tokens chose
            places = [torch.nonzero((chosen == e).to(tokens.dtype)).squeeze(1) for e in range(len(self))]
            parts = [
                expert(tokens.index_select(0, self.token(place))) for expert, place in zip(self, places, strict=True)
            ]
            order = torch.cat(places)
        else:
            order = chosen.argsort(stable=True)  # the choices, expert by expert
            counts = chosen.bincount(minlength=len(self)).tolist()
            shares = torch.split(tokens.index_select(0, self.token(order)), counts)
            busy = [e for e, count in enumerate(counts) if count] or [0]  # of an empty batch one expert gives the shape
            parts = [self[e](shares[e]) for e in busy]
        back = torch.zeros_like(chosen).scatter(0, order, torch.arange(chosen.shape[0], device=chosen.device))
        return torch.cat(parts).index_select(0, back).view(-1, self.k, parts[0].shape[-1])

    def token(self, place: Tensor) -> Tensor:
        """Whose choice it was: choices lie k to a token."""
        return torch.div(place, self.k, rounding_mode="floor")

    def imbalance(self, probabilities: Tensor, choice: Tensor, mask: Tensor | None) -> Tensor:
        """experts * sum_e f_e P_e over the tokens that are present: 1 where all experts are used alike, up to experts / k."""
        count = len(self)
        present = torch.ones_like(choice[:, :1]) if mask is None else mask.flatten()[:, None]
        present = present.to(probabilities.dtype)
        total = present.sum().clamp(min=1)
        share = (F.one_hot(choice, count).sum(dim=1) * present).sum(dim=0) / (total * self.k)  # f
        probability = (probabilities * present).sum(dim=0) / total  # P
        return count * (share * probability).sum()
