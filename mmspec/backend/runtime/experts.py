"""Experts: networks of which each token, or each sample, meets those that were chosen for it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Experts(nn.ModuleList):
    """An expert computes what was sent to it, and nothing else. A choice that is no expert's number is answered by zeros.

    `forward(choice, *values)`: a choice stands for one token, i64[B, N, k], or one sample, i64[B, k]; values begin with the same
    sizes, but for the last `shared`, which are the same for all.

    Shapes   i64[B, N, k], [B, N, D] -> [B, N, k, D];   i64[B, k], [B, N, D], ... -> [B, k, N, D]
    """

    def __init__(
        self, experts: Iterable[nn.Module], shared: int = 0, nobody: bool = False, placement: tuple[int, ...] = ()
    ) -> None:
        super().__init__(experts)
        self.placement = placement  # the device of each, by number, where they stand on several
        self.shared = shared
        self.nobody = nobody  # some choices may be no expert's

    def forward(self, choice: Tensor, *values: Tensor) -> Tensor:
        own = len(values) - self.shared
        deep, k = choice.dim() - 2, choice.shape[-1]
        rows = [value.flatten(0, deep) if deep else value for value in values[:own]]
        chosen = choice.flatten()
        if torch.compiler.is_exporting():
            parts, order = self.every_part(chosen, k, rows, values[own:])
        else:
            parts, order = self.busy_parts(chosen, k, rows, values[own:])
        back = torch.zeros_like(chosen).scatter(0, order, torch.arange(chosen.shape[0], device=chosen.device))
        if self.nobody and not torch.compiler.is_exporting():
            back = back.clamp(max=sum(part.shape[0] for part in parts) - 1)  # one row of zeros answers for nobody
        answers = torch.cat(parts).index_select(0, back)
        return answers.view(*choice.shape, *answers.shape[1:])

    def busy_parts(
        self, chosen: Tensor, k: int, rows: list[Tensor], shared: tuple[Tensor, ...]
    ) -> tuple[list[Tensor], Tensor]:
        """The answers of the experts that something was sent to, and the order of the choices that they answer."""
        order = chosen.argsort(stable=True)  # expert by expert, nobody's last
        counts = self.counts(chosen)
        owners = _owner(order[: sum(counts)] if self.nobody else order, k)
        shares = [torch.split(row.index_select(0, owners), counts) for row in rows]
        busy = [e for e, count in enumerate(counts) if count] or [0]  # of nothing one expert gives the shape
        parts = [self.answer(e, [share[e] for share in shares], shared) for e in busy]
        if self.nobody:
            parts.append(parts[0].new_zeros(1, *parts[0].shape[1:]))
        return parts, order

    def counts(self, chosen: Tensor) -> list[int]:
        """How many choices fell on each expert."""
        counts: list[int] = chosen.bincount(minlength=len(self)).tolist()[: len(self)]
        return counts

    def every_part(
        self, chosen: Tensor, k: int, rows: list[Tensor], shared: tuple[Tensor, ...]
    ) -> tuple[list[Tensor], Tensor]:
        """The same where the program must hold every expert, whatever the example's tokens chose; no scatter adds."""
        everyone = range(len(self) + self.nobody)
        places = [torch.nonzero((chosen == e).to(rows[0].dtype)).squeeze(1) for e in everyone]
        sent = [[row.index_select(0, _owner(place, k)) for row in rows] for place in places]
        parts = [
            self.answer(e, each, shared) if e < len(self) else torch.zeros_like(each[0]) for e, each in enumerate(sent)
        ]
        return parts, torch.cat(places)

    def answer(self, expert: int, rows: list[Tensor], shared: tuple[Tensor, ...]) -> Tensor:
        answer: Tensor
        if not self.placement or torch.compiler.is_exporting():
            answer = self[expert](*rows, *shared)
            return answer
        home, there = rows[0].device, next(self[expert].parameters()).device
        answer = self[expert](*(value.to(there, non_blocking=True) for value in (*rows, *shared)))
        return answer.to(home, non_blocking=True)


def _owner(place: Tensor, k: int) -> Tensor:
    """Whose choice it was: choices lie k to a token."""
    return torch.div(place, k, rounding_mode="trunc")
