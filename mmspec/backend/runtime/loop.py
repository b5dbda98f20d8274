"""One block, run as often as each sample needs."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop


class Loop(nn.ModuleList):
    """Adaptive computation time: one block, up to `steps` times. After each step the block says how likely every token (or the
    whole sample) is to halt; it has halted when these sum to more than 1 - epsilon, or at the last step. What the loop returns is
    the mean of the states, weighted by the probability of halting at each, where a token's last one weighs what is left of 1.

    A sample of which all present tokens have halted is not computed any further.

    `forward(x, ...)` with the samples first in every value but those in `whole`; the mask is the value at `mask`, if there is one.
    The block returns x, the probabilities f32[B, N] (f32[B, 1] where not `by_token`), and perhaps a balance loss.
    Returns the mean state, each sample's last step i64[B] from 0, and in training (else 0) `ponder` times the mean over present
    tokens of steps + remainder, with the block's balance losses.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        steps: int,
        epsilon: float,
        ponder: float,
        by_token: bool = True,
        mask: int | None = None,
        whole: Sequence[int] = (),
        balance: bool = False,
    ) -> None:
        super().__init__(blocks)
        self.steps, self.limit, self.ponder = steps, 1 - epsilon, ponder
        self.by_token, self.mask, self.whole, self.balance = by_token, mask, tuple(whole), balance
        self.exact: int | None = None

    @property
    def earlier(self) -> int:
        """Steps before the last."""
        return self.steps - 1

    def force(self, exit: int | None) -> None:
        """Run `exit` + 1 steps for every sample; None lets each halt."""
        self.exact = exit

    def forward(self, *values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        halted = torch.zeros_like(values[0][:, :, 0] if self.by_token else values[0][:, :1, 0])
        masked = self.by_token and self.mask is not None
        present = values[self.mask] if masked else torch.ones_like(halted, dtype=torch.bool)  # type: ignore[index]
        if torch.compiler.is_exporting():
            return self.looped(values, halted, present)
        return self.stepwise(values, halted, present)

    def stepwise(self, values: Sequence[Tensor], halted: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, mean = values[0], torch.zeros_like(values[0])
        rows = torch.arange(len(x), device=x.device)  # the samples that go on
        left, spent, loss = torch.zeros_like(rows), torch.zeros_like(halted), x.new_zeros(())
        for step in range(self.steps):
            x, chance, *more = self[0](*self.some((x, *values[1:]), rows if len(rows) < len(mean) else None))
            before = halted.index_select(0, rows)
            after, weight, cost = self.advanced(before, chance, step == self.steps - 1)
            mean = mean.index_add(0, rows, weight.unsqueeze(-1) * x)
            halted = halted.index_copy(0, rows, after)
            left[rows] = step
            if self.training:
                spent = spent.index_add(0, rows, cost)
                loss = loss + more[0] if self.balance else loss
            if step == self.exact:
                break
            on = torch.nonzero(self.goes_on(after, present.index_select(0, rows))).squeeze(1)
            if len(on) == 0 and self.exact is None:
                break
            if len(on) < len(rows) and self.exact is None:
                x, rows = x.index_select(0, on), rows.index_select(0, on)
        if self.training:
            loss = loss + self.ponder * (spent * present).sum() / present.sum().clamp(min=1)
        return mean, left, loss

    def looped(self, values: Sequence[Tensor], halted: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same as one loop of an exported program; the work inside is compacted."""
        shared, steps = tuple(values[1:]), self.steps

        def goes_on(step: Tensor, x: Tensor, mean: Tensor, halted: Tensor, left: Tensor) -> Tensor:
            return (step < steps) & self.goes_on(halted, present).any()

        def run(step: Tensor, x: Tensor, mean: Tensor, halted: Tensor, left: Tensor) -> tuple[Tensor, ...]:
            alive = self.goes_on(halted, present) | (step == 0)
            rows = torch.nonzero(alive).squeeze(1)
            new, chance, *_ = self[0](*self.some((x.index_select(0, rows), *shared), rows))
            after, weight, _ = self.advanced(halted.index_select(0, rows), chance, step == steps - 1)
            now = mean.index_select(0, rows) + weight.unsqueeze(-1) * new
            x, mean, halted = (
                old.clone(memory_format=torch.contiguous_format).index_copy(0, rows, part)
                for old, part in ((x, new), (mean, now), (halted, after))
            )
            return step + 1, x, mean, halted, torch.where(alive, step, left)

        first = torch.zeros((), dtype=torch.int64, device=present.device)
        left = torch.zeros(values[0].shape[0], dtype=torch.int64, device=present.device)
        mean = torch.zeros_like(values[0])
        state = (first, values[0], mean, halted, left)
        _, _, mean, _, left = while_loop(goes_on, run, state)  # type: ignore[no-untyped-call]
        return mean, left, mean.new_zeros(())

    # parts ------------------------------------------------------------------------------------------------------------

    def some(self, values: Sequence[Tensor], rows: Tensor | None) -> list[Tensor]:
        """What the block is handed: the state, which has these samples only, and of the other values the same samples."""
        if rows is None:
            return list(values)
        return [value if i == 0 or i in self.whole else value.index_select(0, rows) for i, value in enumerate(values)]

    def advanced(self, halted: Tensor, chance: Tensor, last: Tensor | bool) -> tuple[Tensor, Tensor, Tensor]:
        """How likely it is to have halted after a step; what the step's state weighs; what the step costs: 1, and of a token's last
        one its remainder too.   f32[b, M] each"""
        running = ~(halted > self.limit)
        stops = running & ((halted + chance > self.limit) | last)
        rest = torch.where(stops, 1 - halted, torch.zeros_like(halted))
        weight = torch.where(stops, rest, torch.where(running, chance, torch.zeros_like(halted)))
        return torch.where(running, halted + chance, halted), weight, running + rest

    def goes_on(self, halted: Tensor, present: Tensor) -> Tensor:
        """Which samples have a present token that has not halted.   f32[b, M], bool[b, M] -> bool[b]"""
        return (present & ~(halted > self.limit)).any(dim=1)
