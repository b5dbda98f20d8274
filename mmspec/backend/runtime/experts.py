"""Experts: copies of one network, a few of which each token meets."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Experts(nn.ModuleList):
    """Each token is sent to the `k` experts of largest probability; an expert computes the tokens that were sent to it. Answers are
    weighted by probability, over the sum of the k where `normalise`. With a `capacity`, an expert takes the first so many of a
    sequence's tokens that are sent to it, and answers the others with zeros.

    Shapes   x [B, N, D], logits [B, N, experts], mask bool[B, N] -> [B, N, D], balance loss []
    """

    def __init__(
        self,
        experts: Iterable[nn.Module],
        k: int,
        balance: float,
        normalise: bool = True,
        capacity: int | None = None,
    ) -> None:
        super().__init__(experts)
        self.k = k
        self.balance = balance
        self.normalise = normalise
        self.capacity = capacity

    def forward(self, x: Tensor, logits: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        tokens, probabilities = x.flatten(0, -2), logits.flatten(0, -2).float().softmax(dim=-1)
        weights, choice = probabilities.topk(self.k, dim=-1)  # [T, k]
        if self.normalise:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        answers = self.answers(
            tokens, choice if self.capacity is None else self.admitted(choice, x.shape[-2], self.capacity)
        )
        y = (answers * weights.to(x.dtype)[:, :, None]).sum(dim=1).view_as(x)
        if not self.training:
            return y, x.new_zeros(())
        return y, self.balance * self.imbalance(probabilities, choice, mask)

    def admitted(self, choice: Tensor, length: int, capacity: int) -> Tensor:
        """The choices of sequences of `length` tokens, and `len(self)` where the chosen expert is full.   i64[T, k] -> i64[T, k]"""
        count = len(self)
        chosen = choice.view(-1, length * self.k)
        sent = (chosen[:, :, None] == torch.arange(count, device=choice.device)).float()  # [B, N k, experts]
        place = (sent.cumsum(dim=1) * sent).sum(dim=-1)  # in the queue of its expert, from 1
        return torch.where(place > capacity, count, chosen).view_as(choice)

    def answers(self, tokens: Tensor, choice: Tensor) -> Tensor:
        """What the chosen experts make of each token; zeros where none was chosen.   [T, D], i64[T, k] -> [T, k, D]"""
        chosen = choice.flatten()
        if torch.compiler.is_exporting():  # every expert is in the file, whatever the example's tokens chose
            everyone = range(len(self) + (self.capacity is not None))
            places = [torch.nonzero((chosen == e).to(tokens.dtype)).squeeze(1) for e in everyone]
            parts = [self.answer(e, tokens.index_select(0, self.token(place))) for e, place in enumerate(places)]
            order = torch.cat(places)
        else:
            order = chosen.argsort(stable=True)  # the choices, expert by expert
            counts = chosen.bincount(minlength=len(self)).tolist()
            shares = torch.split(tokens.index_select(0, self.token(order)), counts)
            busy = [e for e, count in enumerate(counts) if count] or [0]  # of an empty batch one expert gives the shape
            parts = [self.answer(e, shares[e]) for e in busy]
        back = torch.zeros_like(chosen).scatter(0, order, torch.arange(chosen.shape[0], device=chosen.device))
        return torch.cat(parts).index_select(0, back).view(-1, self.k, parts[0].shape[-1])

    def answer(self, expert: int, tokens: Tensor) -> Tensor:
        """Of an expert, or of nobody.   [n, D] -> [n, D]"""
        answer: Tensor = self[expert](tokens) if expert < len(self) else torch.zeros_like(tokens)
        return answer

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
