"""A stack of blocks that a sample may leave early."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Function = Callable[..., object]


class Asked(NamedTuple):
    """What is asked at an exit: how values are read out, the head, the heads of the earlier exits where they have their own, the
    halting unit. None where there is none."""

    readout: Function | None
    head: Function | None
    heads: Sequence[Function] | None
    unit: Function | None


class Stages(nn.ModuleList):
    """At each exit a sample leaves whose score, by the `criterion`, exceeds the exit's threshold. Exits come after the blocks in
    `after`, counted from one (after each by default); the end is the last.

    In training all blocks run and the head is applied at each exit. At inference a sample that has left is not computed any
    further: the rest of the batch goes on without it.

    `forward(*values, ...)`: the first `carried` values go from block to block, the others are the same for all; those in `whole`
    are one for all samples, every other has the samples first. The blocks take the first `taken` of them. Heads see the values at
    `seen`, or what `readout` makes of those. With `returned`, the readout's first result takes the carried value's place on the way
    out, and heads see the others. A head reads the first `read` of what it sees.

    Returns the carried values at each sample's exit, the exit's number i64[B]; with a head its answer there [B, ...] and, in
    training (else None), its answers at all exits [exits, B, ...]; with a halting unit, in training (else None), the probability of
    each exit f32[exits, B]; and the blocks' balance loss if they have one.
    """

    thresholds: Tensor

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        criterion: Any,
        threshold: float | Sequence[float],
        carried: int = 1,
        seen: Sequence[int] = (0,),
        read: int = 1,
        taken: int | None = None,
        whole: Sequence[int] = (),
        after: Sequence[int] | None = None,
        returned: bool = False,
        balance: bool = False,
    ) -> None:
        super().__init__(blocks)
        self.ends = tuple(range(1, len(self) + 1)) if after is None else (*after, len(self))
        self.carried, self.seen, self.read = carried, tuple(seen), read
        self.taken, self.whole = taken, tuple(whole)
        self.returned, self.balance = returned, balance
        self.criterion = criterion
        given = (threshold,) * self.earlier if isinstance(threshold, (int, float)) else tuple(threshold)
        self.levels = list(given)
        self.register_buffer("thresholds", torch.tensor(given, dtype=torch.float32, device="cpu"), persistent=False)

    @property
    def exits(self) -> int:
        return len(self.ends)

    @property
    def earlier(self) -> int:
        """Exits before the end."""
        return len(self.ends) - 1

    def force(self, exit: int | None) -> None:
        """Let every sample leave at that exit; None restores the thresholds."""
        if exit is None:
            self.thresholds.copy_(torch.tensor(self.levels))
            return
        self.thresholds.fill_(torch.inf)
        if exit < self.earlier:
            self.thresholds[exit] = -torch.inf

    def forward(
        self,
        *values: Tensor,
        head: Function | None = None,
        readout: Function | None = None,
        heads: Sequence[Function] | None = None,
        unit: Function | None = None,
        budget: Tensor | None = None,
    ) -> tuple[Tensor | None, ...]:
        asked = Asked(readout, head, heads, unit)
        if self.training:
            return self.all_exits(asked, values, budget)
        if torch.compiler.is_exporting():
            return self.conditional(asked, values, budget)
        return self.compacted(asked, values, budget)

    def all_exits(self, asked: Asked, values: Sequence[Tensor], budget: Tensor | None) -> tuple[Tensor | None, ...]:
        memory = self.start(asked, values, budget)
        answers, scores, losses = [], [], []
        for exit in range(self.exits):
            values, loss = self.run(exit, values)
            view = self.view(asked, values)
            answers += self.answers(asked, exit, view)
            losses.append(loss)
            if exit < self.earlier:
                score, memory = self.score(exit, answers, view, asked, memory)
                scores.append(score)
        left = torch.stack(scores)  # [exits - 1, B]
        sure = left > self.thresholds[:, None]
        taken = torch.cat([sure, torch.ones_like(sure[:1])]).to(torch.int64).argmax(dim=0)
        chances = None
        if asked.unit is not None:  # scores are the probability of having left
            edges = torch.cat([torch.zeros_like(left[:1]), left, torch.ones_like(left[:1])])
            chances = edges[1:] - edges[:-1]
        every = torch.stack(answers) if answers else None
        return self.result(asked, values, answers[-1:], taken, every, chances, sum(losses[1:], losses[0]))

    def compacted(self, asked: Asked, values: Sequence[Tensor], budget: Tensor | None) -> tuple[Tensor | None, ...]:
        batch, shared = values[0].shape[0], values[self.carried :]
        rows = torch.arange(batch, device=values[0].device)  # the samples that go on
        memory = self.start(asked, values, budget)
        found: list[Tensor] = []  # carried values and the head's answer, as far as they are known
        left = torch.zeros_like(rows)
        for exit in range(self.exits):
            values, _ = self.run(exit, values)
            view = self.view(asked, values)
            answer = self.answers(asked, exit, view)
            now = [*values[: self.carried], *answer]
            if len(rows) < batch:
                now = [old.index_copy(0, rows, new) for old, new in zip(found, now, strict=True)]
            found = now
            left[rows] = exit
            if exit == self.earlier:
                break
            score, memory = self.score(exit, answer, view, asked, memory)
            on = torch.nonzero(self.stays(score, exit)).squeeze(1)
            if len(on) == 0:
                break
            if len(on) < len(rows):
                rows = rows.index_select(0, on)
                values = self.some(values, on)
                memory = tuple(value.index_select(0, on) for value in memory)
        state, answer = [*found[: self.carried], *shared], found[self.carried :]
        return self.result(asked, state, answer, left, None, None, state[0].new_zeros(()))

    def conditional(self, asked: Asked, values: Sequence[Tensor], budget: Tensor | None) -> tuple[Tensor | None, ...]:
        """The same with `torch.cond`, whose branches have the whole batch's shapes; the work inside is compacted."""
        shared = tuple(values[self.carried :])
        memory = self.start(asked, values, budget)
        values, _ = self.run(0, values)
        view = self.view(asked, values)
        answer = self.answers(asked, 0, view)
        known = self.carried + len(answer)
        score, memory = self.score(0, answer, view, asked, memory)
        state = (*values[: self.carried], *answer, score, *memory)
        alive = self.stays(score, 0)
        left = torch.zeros_like(alive, dtype=torch.int64)
        for exit in range(1, self.exits):
            last = exit == self.earlier
            state = state[:known] if last else state  # at the end nothing is decided

            held = len(state)

            def go(
                alive: Tensor, *operands: Tensor, exit: int = exit, last: bool = last, held: int = held
            ) -> tuple[Tensor, ...]:
                rows = torch.nonzero(alive).squeeze(1)
                state, shared = operands[:held], operands[held:]
                values, _ = self.run(exit, self.some([*state[: self.carried], *shared], rows))
                view = self.view(asked, values)
                answer = self.answers(asked, exit, view)
                now = [*values[: self.carried], *answer]
                if not last:
                    memory = tuple(value.index_select(0, rows) for value in state[known + 1 :])
                    score, memory = self.score(exit, answer, view, asked, memory)
                    now += [score, *memory]
                return tuple(_dense(old).index_copy(0, rows, new) for old, new in zip(state, now, strict=True))

            def skip(alive: Tensor, *operands: Tensor, held: int = held) -> tuple[Tensor, ...]:
                return tuple(_dense(value) for value in operands[:held])

            after = torch.cond(alive.any(), go, skip, (alive, *state, *shared))
            state = tuple(new.reshape(old.shape) for new, old in zip(after, state, strict=True))  # ties the batch again
            left = torch.where(alive, exit, left)
            if not last:
                alive = alive & self.stays(state[known], exit)
        values = [*state[: self.carried], *shared]
        return self.result(asked, values, state[self.carried : known], left, None, None, values[0].new_zeros(()))

    # parts ------------------------------------------------------------------------------------------------------------

    def run(self, exit: int, values: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """The blocks up to an exit: the new carried values before the shared ones, and the blocks' balance loss."""
        loss = values[0].new_zeros(())
        for index in range(self.ends[exit - 1] if exit else 0, self.ends[exit]):
            after = self[index](*values[: self.taken])
            after = after if isinstance(after, tuple) else (after,)
            loss = loss + after[self.carried] if self.balance else loss
            values = [*after[: self.carried], *values[self.carried :]]
        return list(values), loss

    def view(self, asked: Asked, values: Sequence[Tensor]) -> Sequence[Tensor]:
        """What heads and criteria see: tokens or a vector, and perhaps a mask."""
        looked: Sequence[Tensor] = [values[i] for i in self.seen]
        if asked.readout is None:
            return looked
        made = asked.readout(*looked)
        looked = made if isinstance(made, tuple) else (made,)
        return looked[1:] if self.returned else looked

    def answers(self, asked: Asked, exit: int, view: Sequence[Tensor]) -> list[Tensor]:
        """What the head says at an exit; nothing without one."""
        if asked.head is None:
            return []
        own = asked.heads is not None and exit < self.earlier
        answer: Tensor = (asked.heads[exit] if own else asked.head)(*view[: self.read])  # type: ignore[index,assignment]
        return [answer]

    def start(self, asked: Asked, values: Sequence[Tensor], budget: Tensor | None) -> tuple[Tensor, ...]:
        """What the criterion remembers of each sample before the first block."""
        begin = getattr(self.criterion, "start", None)
        return () if begin is None else begin(values[0], lambda: self.view(asked, values), budget)

    def score(
        self, exit: int, answer: Sequence[Tensor], view: Sequence[Tensor], asked: Asked, memory: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """How much speaks for leaving at an exit f32[b], and what is remembered of each sample."""
        said: tuple[Tensor, tuple[Tensor, ...]] = self.criterion(
            exit, answer[-1] if answer else None, view, asked.unit, memory
        )
        return said

    def stays(self, score: Tensor, exit: int) -> Tensor:
        """Which samples go on; one whose score is no number does.   f32[b] -> bool[b]"""
        return ~(score > self.thresholds[exit])

    def some(self, values: Sequence[Tensor], rows: Tensor) -> list[Tensor]:
        """The values of these samples."""
        return [value if i in self.whole else value.index_select(0, rows) for i, value in enumerate(values)]

    def result(
        self,
        asked: Asked,
        values: Sequence[Tensor],
        answer: Sequence[Tensor],
        exit: Tensor,
        answers: Tensor | None,
        chances: Tensor | None,
        loss: Tensor,
    ) -> tuple[Tensor | None, ...]:
        outward: Sequence[Tensor] = values[: self.carried]
        if self.returned and asked.readout is not None:
            outward = asked.readout(*(values[i] for i in self.seen))[:1]  # type: ignore[index]
        return (
            *outward,
            exit,
            *((answer[0], answers) if asked.head is not None else ()),
            *((chances,) if asked.unit is not None else ()),
            *((loss,) if self.balance else ()),
        )


def _dense(value: Tensor) -> Tensor:
    """A copy with standard strides: both branches of a condition must have the same."""
    return value.clone(memory_format=torch.contiguous_format)
