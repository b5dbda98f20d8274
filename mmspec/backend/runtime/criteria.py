"""When a sample may leave a stack: a score for each sample that has come to an exit. It leaves where its score exceeds the exit's
threshold.

A criterion is called with the number of the exit, what the head says there [b, ...] (None without one), what heads see there, the
halting unit (None without one) and what it remembers of these samples; it returns the scores f32[b] and what it remembers now.
`start` is what it remembers before the first block, of samples x [B, ...] and what heads would `see` there; a criterion without one
remembers nothing. What is remembered has the samples first. What heads see are tokens [b, N, D] or vectors [b, D], and perhaps the
tokens' mask.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Confidence:
    """The largest probability.   [b, C] -> [b]"""

    def __call__(
        self,
        exit: int,
        answer: Tensor,
        seen: Sequence[Tensor],
        unit: Callable[..., Tensor] | None,
        memory: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return answer.softmax(dim=-1).amax(dim=-1), memory


class Entropy:
    """The negative entropy of the answer, in nats.   [b, C] -> [b]"""

    def __call__(
        self,
        exit: int,
        answer: Tensor,
        seen: Sequence[Tensor],
        unit: Callable[..., Tensor] | None,
        memory: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return (answer.softmax(dim=-1) * answer.log_softmax(dim=-1)).sum(dim=-1), memory


class Improvement:
    """Minus how much the blocks since the last exit have changed what heads see, relative to what it was: -|x - before| / |before|,
    over the tokens that are present. It remembers what was seen."""

    def start(self, x: Tensor, see: Callable[[], Sequence[Tensor]], budget: Tensor | None) -> tuple[Tensor, ...]:
        return (see()[0],)

    def __call__(
        self,
        exit: int,
        answer: Tensor | None,
        seen: Sequence[Tensor],
        unit: Callable[..., Tensor] | None,
        memory: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        x, before = seen[0], memory[0]
        change = x - before
        if len(seen) > 1:  # what absent tokens do is nobody's business
            change, before = change * seen[1].unsqueeze(-1), before * seen[1].unsqueeze(-1)
        size = before.flatten(1).square().sum(dim=1).clamp(min=1e-12)
        return -(change.flatten(1).square().sum(dim=1) / size).sqrt(), (x,)


class Patience:
    """How many exits in a row have given the same answer as the one before. It remembers the last answer and the number."""

    def start(self, x: Tensor, see: Callable[[], Sequence[Tensor]], budget: Tensor | None) -> tuple[Tensor, ...]:
        none = torch.zeros_like(x.flatten(1)[:, 0])
        return none.to(torch.int64) - 1, none  # an answer that no head gives

    def __call__(
        self,
        exit: int,
        answer: Tensor,
        seen: Sequence[Tensor],
        unit: Callable[..., Tensor] | None,
        memory: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        said = answer.argmax(dim=-1)
        agreeing = (memory[1] + 1) * (said == memory[0])
        return agreeing, (said, agreeing)


class Budget:
    """By how much the next exit would exceed what a sample may cost, as a share of the whole model's FLOPs. `costs`: the FLOPs of a
    sample that leaves at each exit. It remembers what each sample may cost."""

    def __init__(self, costs: Sequence[int]) -> None:
        self.costs = tuple(costs)

    def start(self, x: Tensor, see: Callable[[], Sequence[Tensor]], budget: Tensor | None) -> tuple[Tensor, ...]:
        if budget is None:
            budget = torch.full_like(x.flatten(1)[:, 0], torch.inf)
        return (budget / self.costs[-1],)

    def __call__(
        self,
        exit: int,
        answer: Tensor | None,
        seen: Sequence[Tensor],
        unit: Callable[..., Tensor] | None,
        memory: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.costs[exit + 1] / self.costs[-1] - memory[0], memory


class Ponder:
    """How likely it is that a sample has halted, where the halting unit gives the logit of its halting at each exit, if it has not
    before. It remembers how likely it is that it has not."""

    def start(self, x: Tensor, see: Callable[[], Sequence[Tensor]], budget: Tensor | None) -> tuple[Tensor, ...]:
        return (torch.ones_like(x.flatten(1)[:, 0]),)

    def __call__(
        self,
        exit: int,
        answer: Tensor | None,
        seen: Sequence[Tensor],
        unit: Callable[..., Tensor],
        memory: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        on = memory[0] * torch.sigmoid(-unit(*seen).flatten())
        return 1 - on, (on,)
