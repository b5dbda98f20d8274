"""Blocks of which only the input is kept: gone through again when their gradients are asked for, as
`torch.utils.checkpoint` does without re-entering autograd, up to the last tensor that is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmspec.cost.rehearsal.state import STATE, set_for_a_while
from mmspec.cost.rehearsal.tensor import Storage, Tensor, view

RANDOM_STATE = 5056  # bytes of torch's generator on a processor, kept so that dropout falls alike


class _Enough(Exception):
    """All that is needed is there again."""


class Frame:
    """One block's run: how to do it again, and what that gave."""

    def __init__(self, block: Callable[..., Any], inputs: Sequence[Any]) -> None:
        self.block, self.inputs = block, tuple(inputs)
        self.autocast = STATE.autocast
        self.count = 0
        self.found: dict[int, tuple[Any, ...]] = {}
        self.again = False
        self.random = Storage(0 if STATE.watched else RANDOM_STATE)

    def keep(self, saved: Sequence[Any]) -> Any:
        if not self.again:
            self.count += 1
            return Kept(self, self.count - 1)
        self.found[len(self.found)] = tuple(saved)
        if len(self.found) == self.count:
            raise _Enough
        return ()

    def recompute(self) -> None:
        self.again = True
        place = STATE.place
        casts: Any = None if self.autocast is None else {}
        modes = {"gradients": True, "autocast": self.autocast, "casts": casts, "saving": self, "phase": "recomputation"}
        try:
            with set_for_a_while(**modes):
                self.block(*(_detached(x) for x in self.inputs))
        except _Enough:
            pass
        finally:
            STATE.place = place


class Kept:
    """What an operation inside a block finds again when the block has been gone through a second time."""

    __slots__ = ("frame", "number")

    def __init__(self, frame: Frame, number: int) -> None:
        self.frame, self.number = frame, number

    def opened(self) -> tuple[Any, ...]:
        if not self.frame.again:
            self.frame.recompute()
        found, self.frame.found[self.number] = self.frame.found[self.number], ()
        return found


def _detached(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return x
    alone = view(x, x.shape, x.strides)
    alone.requires_grad = x.requires_grad
    return alone


def recomputed(block: Callable[..., Any], *inputs: Any) -> Any:
    """Run a block whose inside is not kept."""
    if not STATE.gradients or STATE.saving is not None:
        return block(*inputs)
    with set_for_a_while(saving=Frame(block, inputs)):
        return block(*inputs)
