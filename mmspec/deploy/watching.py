"""What torch's module does on its way: what speaks for leaving at each exit, and how close a call each token's experts are.

Runtimes round differently. Where a sample's score lies within a hair of a threshold, or two experts are all but tied for a
token, two correct implementations may part; a comparison must know which samples these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Experts, Loop, Stages


@dataclass
class Watched:
    """Of one run over a batch.

    scores       by stack, at each exit before the end, the samples (rows of the batch) and their scores
    exit_margin  f32[B], the smallest distance of a sample's score from the threshold it was held against
    tie_margin   f32[B], the smallest lead of a token's last chosen expert over the first that was not chosen
    chosen       by module of experts, how many tokens met each
    """

    exit_margin: Tensor
    tie_margin: Tensor
    scores: dict[str, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)
    chosen: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def watching(module: nn.Module, batch: int) -> Iterator[Watched]:
    """Observe the run inside the `with` statement, of a module in evaluation and a batch of that size."""
    seen = Watched(torch.full((batch,), torch.inf), torch.full((batch,), torch.inf))
    rows: dict[str, Tensor] = {}  # the samples that each stack is still computing
    stacks = stacks_of(module)
    handles = []
    for name, stack in stacks.items():
        rows[name] = torch.arange(batch)
        seen.scores[name] = []
        stack.score = _scoring(name, stack, rows, seen)  # type: ignore[method-assign]
    loops = loops_of(module)
    for name, loop in loops.items():
        rows[name] = torch.arange(batch)
        loop.goes_on = _going_on(name, loop, rows, seen)  # type: ignore[method-assign]
    for name, child in module.named_modules():
        if isinstance(child, Experts):
            outer = next((stack for stack in rows if name.startswith(f"{stack}.")), None)
            seen.chosen[name] = torch.zeros(len(child), dtype=torch.int64)
            handles.append(child.register_forward_pre_hook(_routing(name, outer, rows, seen)))
    try:
        yield seen
    finally:
        for stack in stacks.values():
            del stack.score
        for loop in loops.values():
            del loop.goes_on
        for handle in handles:
            handle.remove()


def stacks_of(module: nn.Module) -> dict[str, Stages]:
    """The stacks that a sample may leave early, by name."""
    return {name: child for name, child in module.named_modules() if isinstance(child, Stages)}


def loops_of(module: nn.Module) -> dict[str, Loop]:
    """The loops that run as often as a sample needs, by name."""
    return {name: child for name, child in module.named_modules() if isinstance(child, Loop)}


def _scoring(name: str, stack: Stages, rows: dict[str, Tensor], seen: Watched) -> Any:
    def score(exit: int, *args: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        found, memory = Stages.score(stack, exit, *args)
        here, threshold = rows[name], stack.thresholds[exit]
        seen.scores[name].append((here, found))
        seen.exit_margin[here] = torch.minimum(seen.exit_margin[here], (found - threshold).abs())
        rows[name] = here[stack.stays(found, exit)]
        return found, memory

    return score


def _going_on(name: str, loop: Loop, rows: dict[str, Tensor], seen: Watched) -> Any:
    def goes_on(halted: Tensor, present: Tensor) -> Tensor:
        found, here = Loop.goes_on(loop, halted, present), rows[name]
        margin = (halted - loop.limit).abs().masked_fill(~present, torch.inf).amin(dim=1)
        seen.exit_margin[here] = torch.minimum(seen.exit_margin[here], margin)
        rows[name] = here[found]
        return found

    return goes_on


def _routing(name: str, outer: str | None, rows: dict[str, Tensor], seen: Watched) -> Any:
    def hook(experts: Experts, args: tuple[Tensor, ...]) -> None:
        here = rows[outer] if outer is not None else torch.arange(len(seen.tie_margin))
        chances, order = args[1].float().softmax(dim=-1).sort(dim=-1, descending=True)  # [B, N, experts]
        choice = order[..., : experts.k].flatten(0, -2)
        if experts.capacity is not None:
            choice = experts.admitted(choice, order.shape[-2], experts.capacity)
        seen.chosen[name] += choice.flatten().bincount(minlength=len(experts))[: len(experts)]
        if experts.k < len(experts):
            lead = (chances[..., experts.k - 1] - chances[..., experts.k]).flatten(1).amin(dim=1)
            seen.tie_margin[here] = torch.minimum(seen.tie_margin[here], lead)

    return hook
