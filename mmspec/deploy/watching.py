"""What torch's module does on its way: what speaks for leaving at each exit, and how close a call each token's experts are, or
which tokens stay.

Runtimes round differently. Where a sample's score lies within a hair of a threshold, or two experts are all but tied for a token,
or two tokens for the last place that is kept, two correct implementations may part; a comparison must know which samples these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmspec.backend.runtime import (
    Best,
    BlockChoice,
    Choose,
    Claim,
    Cover,
    Decide,
    Draw,
    Experts,
    Keep,
    KeepAbove,
    Loop,
    NextBest,
    Stages,
)  # fmt: skip
from mmspec.deploy.target import Verify


@dataclass
class Watched:
    """Of one run over a batch.

    scores       by stack, at each exit before the end, the samples (rows of the batch) and their scores
    exit_margin  f64[B], the smallest distance of a sample's score from the threshold it was held against
    leads        by module that chooses, f64[B], the smallest lead of what was chosen over what was not: a token's last chosen
                 expert over the first that was not, an expert's last claimed token over the first that it left, or a sample's last
                 kept token over the first that was left out, as a share of its importance; infinite where a sample never came
    chosen       by module of experts, how many tokens (or samples) met each
    idle         by module of experts, how often each met none when the module was asked
    """

    exit_margin: Tensor
    leads: dict[str, Tensor] = field(default_factory=dict)
    scores: dict[str, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)
    chosen: dict[str, Tensor] = field(default_factory=dict)
    idle: dict[str, Tensor] = field(default_factory=dict)

    def note_exit(self, samples: Tensor, distance: Tensor) -> None:
        self.exit_margin[samples] = torch.minimum(self.exit_margin[samples], distance.double())

    def note_lead(self, module: str, samples: Tensor, lead: Tensor) -> None:
        """Leads of these samples, some of each.   i64[b], [b, ...]"""
        known = self.leads.setdefault(module, torch.full_like(self.exit_margin, torch.inf))
        known[samples] = torch.minimum(known[samples], lead.double().unsqueeze(-1).flatten(1).amin(dim=1))


def close_calls(seen: Watched, verify: Verify) -> np.ndarray:
    """Which samples lie so near to a threshold or a tie that two correct runtimes may part there.   bool[B]"""
    close = seen.exit_margin < verify.margin
    for lead in seen.leads.values():
        close |= lead < verify.lead
    return close.numpy()


@contextmanager
def watching(module: nn.Module, batch: int) -> Iterator[Watched]:
    """Observe the run inside the `with` statement, of a module in evaluation and a batch of that size."""
    seen = Watched(torch.full((batch,), torch.inf, dtype=torch.float64))
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
    watched = tuple(LEADS)
    for name, child in module.named_modules():
        outer = next((stack for stack in rows if name.startswith(f"{stack}.")), None)
        if isinstance(child, Experts):
            seen.chosen[name], seen.idle[name] = torch.zeros(2, len(child), dtype=torch.int64)
            handles.append(child.register_forward_pre_hook(_counting(seen.chosen[name], seen.idle[name])))
        elif isinstance(child, watched):
            handles.append(child.register_forward_pre_hook(_leading(name, outer, rows, seen)))
        elif isinstance(child, (Keep, Best)):
            handles.append(child.register_forward_hook(_keeping(name, outer, rows, seen)))
        elif isinstance(child, BlockChoice):
            handles.append(child.register_forward_pre_hook(_choosing(name, outer, rows, seen)))
        elif isinstance(child, KeepAbove):
            handles.append(child.register_forward_pre_hook(_passing(outer, rows, seen)))
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
        seen.note_exit(here, (found - threshold).abs())
        rows[name] = here[stack.stays(found, exit)]
        return found, memory

    return score


def _going_on(name: str, loop: Loop, rows: dict[str, Tensor], seen: Watched) -> Any:
    def goes_on(halted: Tensor, present: Tensor) -> Tensor:
        found, here = Loop.goes_on(loop, halted, present), rows[name]
        margin = (halted - loop.limit).abs().masked_fill(~present, torch.inf).amin(dim=1)
        seen.note_exit(here, margin)
        rows[name] = here[found]
        return found

    return goes_on


def _counting(met: Tensor, idle: Tensor) -> Any:
    def hook(experts: Experts, args: tuple[Tensor, ...]) -> None:
        counts = args[0].flatten().bincount(minlength=len(experts))[: len(experts)]
        met.add_(counts)
        idle.add_(counts.eq(0) & (args[0].numel() > 0))

    return hook


def _leading(name: str, outer: str | None, rows: dict[str, Tensor], seen: Watched) -> Any:
    def hook(decision: nn.Module, args: tuple[Tensor, ...]) -> None:
        here = rows[outer] if outer is not None else torch.arange(len(seen.exit_margin))
        lead = LEADS[type(decision)](decision, *args)
        if lead is not None:
            seen.note_lead(name, here, lead)

    return hook


def _lead_of_chosen(decision: Any, probabilities: Tensor) -> Tensor | None:
    """Of the last that was chosen over the first that was not.   [..., E] -> [...]"""
    k, chances = decision.k, probabilities.sort(dim=-1, descending=True).values
    return chances[..., k - 1] - chances[..., k] if k < chances.shape[-1] else None


def _lead_of_any(decision: Any, probabilities: Tensor) -> Tensor | None:
    """Of any rank over the next: all of them may decide who finds room.   [B, N, E] -> [B, N]"""
    chances = probabilities.sort(dim=-1, descending=True).values
    return (chances[..., :-1] - chances[..., 1:]).amin(dim=-1) if chances.shape[-1] > 1 else None


def _lead_of_claimed(decision: Claim, probabilities: Tensor, mask: Tensor | None = None) -> Tensor | None:
    """Of the last token that an expert claims over the first that it leaves.   [B, N, E] -> [B, E]"""
    present = torch.ones_like(probabilities[..., 0], dtype=torch.bool) if mask is None else mask
    chances = decision.chances(probabilities, present).sort(dim=1, descending=True).values
    chances = torch.cat([chances, torch.full_like(chances[:, :1], -2.0)], dim=1)  # behind the last is nobody
    last = decision.seats(present, decision.share[0], decision.share[1] * chances.shape[-1])
    at = last[:, None, None].expand(-1, 1, chances.shape[-1])
    return (chances.gather(1, (at - 1).clamp(min=0)) - chances.gather(1, at)).squeeze(1)


def _lead_of_covered(decision: Cover, probabilities: Tensor) -> Tensor:
    """How far the likeliest together are from what they are to exceed, wherever it is asked; and the last chosen from the first
    that was not.   [..., E] -> [...]"""
    chances = probabilities.sort(dim=-1, descending=True).values
    before = chances.cumsum(dim=-1) - chances
    apart = (before[..., 1:] - decision.least).abs().amin(dim=-1) if chances.shape[-1] > 1 else before[..., 0] + 1
    last = (before <= decision.least).sum(dim=-1, keepdim=True)
    ends = chances.gather(-1, torch.cat([last - 1, last.clamp(max=chances.shape[-1] - 1)], dim=-1))
    lead = torch.where(last[..., 0] < chances.shape[-1], ends[..., 0] - ends[..., 1], torch.inf)
    return torch.minimum(apart, lead)


LEADS: dict[type[nn.Module], Any] = {
    Choose: _lead_of_chosen,
    Decide: _lead_of_chosen,
    Draw: _lead_of_chosen,
    NextBest: _lead_of_any,
    Claim: _lead_of_claimed,
    Cover: _lead_of_covered,
}


def _keeping(name: str, outer: str | None, rows: dict[str, Tensor], seen: Watched) -> Any:
    def hook(keep: Keep | Best, args: tuple[Tensor, ...], numbers: Tensor) -> None:
        here = rows[outer] if outer is not None else torch.arange(len(seen.exit_margin))
        scores = keep.ranked(args[0], args[1] if len(args) > 1 else None).sort(dim=1, descending=True).values
        kept = (numbers < args[0].shape[1]).sum(dim=1, keepdim=True) - keep.front
        ends = torch.cat([kept - 1, kept], dim=1).clamp(0, scores.shape[1] - 1)
        last, next_ = scores.gather(1, ends).unbind(dim=1)
        apart = (kept[:, 0] > 0) & (ends[:, 1] > ends[:, 0])
        lead = torch.where(apart, (last - next_) / last.abs().clamp(min=1e-12), torch.inf)
        seen.note_lead(name, here, lead)

    return hook


def _choosing(name: str, outer: str | None, rows: dict[str, Tensor], seen: Watched) -> Any:
    def hook(choice: BlockChoice, args: tuple[Tensor, ...]) -> None:
        here = rows[outer] if outer is not None else torch.arange(len(seen.exit_margin))
        scores = choice.scores(args[0], args[1], args[2] if len(args) > 2 else None)
        scores = scores.sort(dim=-1, descending=True).values
        if scores.shape[-1] <= choice.k + 1:
            return
        last, next_ = scores[..., choice.k], scores[..., choice.k + 1]
        apart = next_ > torch.finfo(scores.dtype).min  # what cannot be seen is no alternative
        lead = torch.where(apart, (last - next_) / last.abs().clamp(min=1.0), torch.inf)
        seen.note_lead(name, here, lead)

    return hook


def _passing(outer: str | None, rows: dict[str, Tensor], seen: Watched) -> Any:
    def hook(keep: KeepAbove, args: tuple[Tensor, ...]) -> None:
        here = rows[outer] if outer is not None else torch.arange(len(seen.exit_margin))
        margin = (keep.relative(*args) - keep.threshold).abs().masked_fill(~args[1], torch.inf)[:, keep.front :]
        margin = torch.nn.functional.pad(margin, (0, 1), value=torch.inf).amin(dim=1)
        seen.note_exit(here, margin)

    return hook
