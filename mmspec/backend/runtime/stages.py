"""A stack of blocks that a sample may leave early."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

Head = Callable[..., Tensor]


class Stages(nn.ModuleList):
    """After each block but the last, a sample leaves if its head is sure: largest probability above the block's threshold.

    In training all blocks run and the head is applied after each. At inference a sample that has left is not computed any
    further: the rest of the batch goes on without it.

    `forward(head, *values)`: the first `carried` values go from block to block, the others are the same for all, every one
    with the batch first. The head is applied to the values at `head_inputs`, or to what `readout` makes of them.
    Returns the carried values at each sample's exit, the head's output there [B, C], the exit's index i64[B], in training the
    head's output at all exits [blocks, B, C] (else None), and the blocks' balance loss if they have one.
    """

    thresholds: Tensor

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        threshold: float | Sequence[float],
        carried: int = 1,
        head_inputs: Sequence[int] = (0,),
        balance: bool = False,
    ) -> None:
        super().__init__(blocks)
        self.levels = [threshold] * (len(self) - 1) if isinstance(threshold, float | int) else list(threshold)
        self.carried = carried
        self.head_inputs = tuple(head_inputs)
        self.balance = balance
        self.register_buffer(
            "thresholds", torch.tensor(self.levels, dtype=torch.float32, device="cpu"), persistent=False
        )

    def force(self, exit: int | None) -> None:
        """Let every sample leave after block `exit`; None restores the thresholds."""
        self.thresholds.fill_(1.0)  # no probability is above 1
        if exit is None:
            self.thresholds.copy_(self.thresholds.new_tensor(self.levels))
        elif exit < len(self) - 1:
            self.thresholds[exit] = -1.0

    def forward(
        self, head: Head, *values: Tensor, readout: Callable[..., object] | None = None
    ) -> tuple[Tensor | None, ...]:
        if readout is not None:
            head = _after(readout, head)
        if self.training:
            return self.all_exits(head, values)
        if torch.compiler.is_exporting():
            return self.conditional(head, values)
        return self.compacted(head, values)

    def all_exits(self, head: Head, values: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        answers, losses = [], []
        for block in self:
            values, loss = self.step(block, values)
            answers.append(self.ask(head, values))
            losses.append(loss)
        exits = torch.stack(answers)
        sure = self.confidence(exits[:-1]) > self.thresholds[:, None]  # [blocks - 1, B]
        exit = torch.cat([sure, torch.ones_like(sure[:1])] if len(sure) else [sure]).to(torch.int64).argmax(dim=0)
        return self.result(values, answers[-1], exit, exits, sum(losses[1:], losses[0]))

    def compacted(self, head: Head, values: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        batch = values[0].shape[0]
        rows = torch.arange(batch, device=values[0].device)  # the samples that go on
        found: list[Tensor] = []  # carried values and the head's output, as far as they are known
        exit = torch.zeros_like(rows)
        for index, block in enumerate(self):
            values, _ = self.step(block, values)
            answer = self.ask(head, values)
            now = [*values[: self.carried], answer]
            if len(rows) < batch:
                now = [old.index_copy(0, rows, new) for old, new in zip(found, now, strict=True)]
            found = now
            exit[rows] = index
            if index == len(self) - 1:
                break
            on = torch.nonzero(self.unsure(answer, index)).squeeze(1)
            if len(on) == 0:
                break
            if len(on) < len(rows):
                rows = rows.index_select(0, on)
                values = [value.index_select(0, on) for value in values]
        return self.result(found, found[-1], exit, None, values[0].new_zeros(()))

    def conditional(self, head: Head, values: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """The same with `torch.cond`, whose branches have the whole batch's shapes; the work inside is compacted."""
        batch, shared = values[0].shape[0], tuple(values[self.carried :])
        values, _ = self.step(self[0], values)
        answer = self.ask(head, values)
        state = (*values[: self.carried], answer)
        exit = torch.zeros(batch, dtype=torch.int64, device=answer.device)
        alive = self.unsure(answer, 0)
        for index in range(1, len(self)):

            def go(alive: Tensor, *operands: Tensor, block: nn.Module = self[index]) -> tuple[Tensor, ...]:
                rows = torch.nonzero(alive).squeeze(1)
                state, shared = operands[: self.carried + 1], operands[self.carried + 1 :]
                chosen = [value.index_select(0, rows) for value in (*state[:-1], *shared)]
                after, _ = self.step(block, chosen)
                now = (*after[: self.carried], self.ask(head, after))
                return tuple(_dense(old).index_copy(0, rows, new) for old, new in zip(state, now, strict=True))

            def skip(alive: Tensor, *operands: Tensor) -> tuple[Tensor, ...]:
                return tuple(_dense(value) for value in operands[: self.carried + 1])

            after = torch.cond(alive.any(), go, skip, (alive, *state, *shared))
            state = tuple(new.reshape(old.shape) for new, old in zip(after, state, strict=True))  # ties the batch again
            exit = torch.where(alive, index, exit)
            if index < len(self) - 1:
                alive = alive & self.unsure(state[-1], index)
        return self.result(state, state[-1], exit, None, answer.new_zeros(()))

    def step(self, block: nn.Module, values: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """One block: the new carried values before the shared ones, and the block's balance loss."""
        after = block(*values)
        after = after if isinstance(after, tuple) else (after,)
        loss = after[self.carried] if self.balance else values[0].new_zeros(())
        return [*after[: self.carried], *values[self.carried :]], loss

    def ask(self, head: Head, values: Sequence[Tensor]) -> Tensor:
        return head(*(values[i] for i in self.head_inputs))

    def result(
        self, carried: Sequence[Tensor], answer: Tensor, exit: Tensor, exits: Tensor | None, loss: Tensor
    ) -> tuple[Tensor | None, ...]:
        return (*carried[: self.carried], answer, exit, exits, *([loss] if self.balance else []))

    def unsure(self, answer: Tensor, index: int) -> Tensor:
        """Which samples go on after block `index`; a confidence that is no number is not sure.   [B, C] -> bool[B]"""
        return ~(self.confidence(answer) > self.thresholds[index])

    @staticmethod
    def confidence(logits: Tensor) -> Tensor:
        """The largest probability.   [..., C] -> [...]"""
        return logits.softmax(dim=-1).amax(dim=-1)


def _after(readout: Callable[..., object], head: Head) -> Head:
    def ask(*values: Tensor) -> Tensor:
        seen = readout(*values)
        return head(*seen) if isinstance(seen, tuple) else head(seen)

    return ask


def _dense(value: Tensor) -> Tensor:
    """A copy with standard strides: both branches of a condition must have the same."""
    return value.clone(memory_format=torch.contiguous_format)
