"""Which experts a token, or a sample, is sent to: the logits, what is random about them, and the decision."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FloatLinear(nn.Linear):
    """A linear layer in single precision at least, whatever autocast says; `model.half()` leaves its weight as it is."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            return F.linear(x, self.weight, self.bias)
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.to(self.weight.dtype), self.weight, self.bias)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        def wide(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.element_size() >= 4 else tensor.to(moved.device)

        return super()._apply(wide, recurse)  # type: ignore[no-untyped-call]


class Jitter(nn.Module):
    """In training each number times another between 1 - amount and 1 + amount.   [...] -> [...]"""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.amount * (2 * torch.rand_like(x) - 1)) if self.training else x


class Noise(nn.Module):
    """In training logits with normal noise, softplus(spread) its standard deviation.   [..., E], [..., E] -> [..., E]"""

    def forward(self, logits: Tensor, spread: Tensor) -> Tensor:
        return logits + torch.randn_like(logits) * F.softplus(spread) if self.training else logits


class Gumbel(nn.Module):
    """In training (logits + Gumbel noise) / temperature, whose softmax is a soft sample.   [..., E] -> [..., E]"""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, logits: Tensor) -> Tensor:
        if not self.training:
            return logits
        drawn = -torch.empty_like(logits).exponential_().clamp(min=1e-20).log()
        return (logits + drawn) / self.temperature


class Choose(nn.Module):
    """The `k` experts of largest probability, the likeliest first.   [..., E] -> i64[..., k]"""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, probabilities: Tensor) -> Tensor:
        return probabilities.topk(self.k, dim=-1)[1]


class Cover(nn.Module):
    """The likeliest experts, until their probabilities exceed `least` together; E, which is nobody, in the other places.
    [..., E] -> i64[..., E], the likeliest first"""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, probabilities: Tensor) -> Tensor:
        chances, order = probabilities.topk(probabilities.shape[-1], dim=-1)
        before = chances.cumsum(dim=-1) - chances  # of those that are likelier
        return torch.where(before > self.least, probabilities.shape[-1], order)


class Decide(nn.Module):
    """The likeliest expert; in training all of them, in their order, for gradients ask what each would have answered, unless it is
    to be `sparing`.   [..., E] -> i64[..., 1], in training i64[..., E]"""

    def __init__(self) -> None:
        super().__init__()
        self.k = 1
        self.sparing = False

    def forward(self, probabilities: Tensor) -> Tensor:
        if not self.training or self.sparing:
            return probabilities.argmax(dim=-1, keepdim=True)
        return torch.arange(probabilities.shape[-1], device=probabilities.device).expand_as(probabilities)


class Draw(nn.Module):
    """In training an expert drawn by its probability, the likeliest at inference.   [..., E] -> i64[..., 1]"""

    k = 1

    def forward(self, probabilities: Tensor) -> Tensor:
        if not self.training:
            return probabilities.argmax(dim=-1, keepdim=True)
        drawn = probabilities.detach().flatten(0, -2).multinomial(1)
        return drawn.view(*probabilities.shape[:-1], 1)


class Admit(nn.Module):
    """An expert takes the first `capacity` of a sequence's tokens that are sent to it; the others are sent to nobody, which is the
    number `experts`.   i64[B, N, k] -> i64[B, N, k]"""

    def __init__(self, experts: int, capacity: int | None) -> None:
        super().__init__()
        self.experts = experts
        self.capacity = capacity

    def forward(self, choice: Tensor) -> Tensor:
        if self.capacity is None:
            return choice
        chosen = choice.flatten(1)
        sent = (chosen[:, :, None] == torch.arange(self.experts, device=choice.device)).float()  # [B, N k, experts]
        place = (sent.cumsum(dim=1) * sent).sum(dim=-1)  # in the queue of its expert, from 1
        return torch.where(place > self.capacity, self.experts, chosen).view_as(choice)


class NextBest(nn.Module):
    """Each token to the likeliest expert that has room, in rounds: all ask for their first, in their order; those who find it full
    for their second, and so on; at last nobody, which is the number of experts.   [B, N, E] -> i64[B, N, 1]"""

    def __init__(self, capacity: int | None) -> None:
        super().__init__()
        self.capacity = capacity

    def forward(self, probabilities: Tensor) -> Tensor:
        count = probabilities.shape[-1]
        order = probabilities.topk(count, dim=-1)[1]
        if self.capacity is None:
            return order[:, :, :1]
        experts = torch.arange(count, device=order.device)
        choice = torch.full_like(order[:, :, 0], count)
        room = torch.full_like(probabilities[:, :1], float(self.capacity))
        for rank in range(count):
            wanted = order[:, :, rank]
            asking = ((wanted[:, :, None] == experts) & (choice == count)[:, :, None]).float()
            taken = asking * (asking.cumsum(dim=1) <= room).float()
            choice = torch.where(taken.sum(dim=-1) > 0, wanted, choice)
            room = room - taken.sum(dim=1, keepdim=True)
        return choice[:, :, None]


class Claim(nn.Module):
    """Each expert claims its likeliest tokens of a sequence: `share` (as a fraction) of those that are present, over the number of
    experts, rounded up. In its place stands the expert's number where it claims a token, and the number of experts elsewhere.

    Shapes   probabilities [B, N, E], mask bool[B, N] -> i64[B, N, E]
    """

    def __init__(self, share: tuple[int, int]) -> None:
        super().__init__()
        self.share = share
        self.blind = False  # to what is absent

    def forward(self, probabilities: Tensor, mask: Tensor | None = None) -> Tensor:
        count, (parts, whole) = probabilities.shape[-1], self.share
        present = torch.ones_like(probabilities[:, :, 0], dtype=torch.bool) if mask is None or self.blind else mask
        order = self.chances(probabilities, present).argsort(dim=1, descending=True)  # [B, N, E]
        places = torch.arange(order.shape[1], device=order.device)[None, :, None].expand_as(order)
        place = torch.zeros_like(order).scatter(1, order, places)
        seats = self.seats(present, parts, whole * count)
        taken = (place < seats[:, None, None]) & present[:, :, None]
        return torch.where(taken, torch.arange(count, device=order.device), count)

    @staticmethod
    def chances(probabilities: Tensor, present: Tensor) -> Tensor:
        return probabilities.masked_fill(~present[:, :, None], -1.0)

    @staticmethod
    def seats(present: Tensor, parts: int, whole: int) -> Tensor:
        """ceil(present * parts / whole) of each sample.   bool[B, N] -> i64[B]"""
        return torch.div(present.sum(dim=1) * parts + (whole - 1), whole, rounding_mode="trunc")


def everyone(probabilities: Tensor) -> Tensor:
    """All experts, in their order.   [..., E] -> i64[..., E]"""
    return torch.arange(probabilities.shape[-1], device=probabilities.device).expand(probabilities.shape)


def stream_of(x: Tensor, starts: tuple[int, ...]) -> Tensor:
    """The number of each token's stream; a stream starts so far from the front or, below zero, from the end.
    [B, N, D] -> i64[B, N]"""
    places = torch.arange(x.shape[1], device=x.device)
    stream = torch.zeros_like(places)
    for start in starts[1:]:
        stream = stream + (places >= (start if start >= 0 else x.shape[1] + start)).to(torch.int64)
    return stream.expand(x.shape[0], -1)


def weights_of(probabilities: Tensor, choice: Tensor, normalise: bool = False) -> Tensor:
    """The probability of each choice, over the sum of a token's choices where `normalise`.   [..., E], i64[..., k] -> [..., k]"""
    weights = probabilities.gather(-1, choice)
    return weights / weights.sum(dim=-1, keepdim=True) if normalise else weights


def weights_or_nothing(probabilities: Tensor, choice: Tensor, normalise: bool = False) -> Tensor:
    """The probability of each choice, over their sum where `normalise`; 0 of nobody (a number that no expert has).
    [..., E], i64[..., k] -> [..., k]"""
    last = probabilities.shape[-1] - 1
    weights = probabilities.gather(-1, choice.clamp(max=last)) * (choice <= last).to(probabilities.dtype)
    return weights / weights.sum(dim=-1, keepdim=True) if normalise else weights


def equal_weights(probabilities: Tensor, choice: Tensor) -> Tensor:
    """1 for each choice.   [..., E], i64[..., k] -> [..., k]"""
    return torch.ones_like(choice, dtype=probabilities.dtype)


def straight_through(probabilities: Tensor, choice: Tensor) -> Tensor:
    """1 for the likeliest of the choices and 0 for the others, with the gradients of their probabilities.
    [..., E], i64[..., k] -> [..., k]"""
    soft = probabilities.gather(-1, choice)
    hard = (choice == probabilities.argmax(dim=-1, keepdim=True)).to(soft.dtype)
    return hard + soft - soft.detach()


def mixture(answers: Tensor, weights: Tensor) -> Tensor:
    """The sum of the answers, each weighed.   [..., k, D] or [B, k, N, D], [..., k] -> [..., D] or [B, N, D]"""
    axis = weights.dim() - 1
    while weights.dim() < answers.dim():
        weights = weights.unsqueeze(-1)
    return (answers * weights.to(answers.dtype)).sum(dim=axis)
