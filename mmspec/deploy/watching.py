"""What torch's module does on its way: how sure it is at each exit, and how close a call each token's experts are, or which tokens
stay.

Runtimes round differently. Where a sample's confidence lies within a hair of a threshold, or two experts are all but tied for a
token, or two tokens for the last place that is kept, two correct implementations may part; a comparison must know which samples
these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Best, BlockChoice, Experts, Keep, KeepAbove, Stages


@dataclass
class Watched:
    """Of one run over a batch.

    confidences  by stack, at each exit it asked, the samples (rows of the batch) and how sure they were
    exit_margin  f32[B], the smallest distance of a sample's confidence from the threshold it was held against
    tie_margin   f32[B], the smallest lead of a token's last chosen expert over the first that was not chosen, or of
                 its last kept token over the first that was left out, as a share of its importance
    chosen       by module of experts, how many tokens met each
    """

    exit_margin: Tensor
    tie_margin: Tensor
    confidences: dict[str, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)
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
        seen.confidences[name] = []
        stack.ask = _asking(name, stack, rows, seen)  # type: ignore[method-assign]
    for name, child in module.named_modules():
        if isinstance(child, Experts):
            outer = next((stack for stack in stacks if name.startswith(f"{stack}.")), None)
            seen.chosen[name] = torch.zeros(len(child), dtype=torch.int64)
            handles.append(child.register_forward_pre_hook(_routing(name, outer, rows, seen)))
        if isinstance(child, (Keep, Best)):
            outer = next((stack for stack in stacks if name.startswith(f"{stack}.")), None)
            handles.append(child.register_forward_hook(_keeping(outer, rows, seen)))
        if isinstance(child, BlockChoice):
            outer = next((stack for stack in stacks if name.startswith(f"{stack}.")), None)
            handles.append(child.register_forward_pre_hook(_choosing(outer, rows, seen)))
        if isinstance(child, KeepAbove):
            outer = next((stack for stack in stacks if name.startswith(f"{stack}.")), None)
            handles.append(child.register_forward_pre_hook(_passing(outer, rows, seen)))
    try:
        yield seen
    finally:
        for stack in stacks.values():
            del stack.ask
        for handle in handles:
            handle.remove()


def stacks_of(module: nn.Module) -> dict[str, Stages]:
    """The stacks that a sample may leave early, by name."""
    return {name: child for name, child in module.named_modules() if isinstance(child, Stages)}


def _asking(name: str, stack: Stages, rows: dict[str, Tensor], seen: Watched) -> Any:
    def ask(*args: Any) -> Tensor:
        answer = Stages.ask(stack, *args)
        here, exit = rows[name], len(seen.confidences[name])
        sure = stack.confidence(answer)
        seen.confidences[name].append((here, sure))
        if exit < len(stack) - 1:
            threshold = stack.thresholds[exit]
            seen.exit_margin[here] = torch.minimum(seen.exit_margin[here], (sure - threshold).abs())
            rows[name] = here[sure <= threshold]
        return answer

    return ask


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


def _keeping(outer: str | None, rows: dict[str, Tensor], seen: Watched) -> Any:
    def hook(keep: Keep | Best, args: tuple[Tensor, ...], numbers: Tensor) -> None:
        here = rows[outer] if outer is not None else torch.arange(len(seen.tie_margin))
        scores = keep.ranked(args[0], args[1] if len(args) > 1 else None).sort(dim=1, descending=True).values
        kept = (numbers < args[0].shape[1]).sum(dim=1, keepdim=True) - keep.front
        ends = torch.cat([kept - 1, kept], dim=1).clamp(0, scores.shape[1] - 1)
        last, next_ = scores.gather(1, ends).unbind(dim=1)
        apart = (kept[:, 0] > 0) & (ends[:, 1] > ends[:, 0])
        lead = torch.where(apart, (last - next_) / last.abs().clamp(min=1e-12), torch.inf)
        seen.tie_margin[here] = torch.minimum(seen.tie_margin[here], lead)

    return hook


def _choosing(outer: str | None, rows: dict[str, Tensor], seen: Watched) -> Any:
    def hook(choice: BlockChoice, args: tuple[Tensor, ...]) -> None:
        here = rows[outer] if outer is not None else torch.arange(len(seen.tie_margin))
        scores = choice.scores(args[0], args[1], args[2] if len(args) > 2 else None)
        scores = scores.sort(dim=-1, descending=True).values
        if scores.shape[-1] <= choice.k + 1:
            return
        last, next_ = scores[..., choice.k], scores[..., choice.k + 1]
        apart = next_ > torch.finfo(scores.dtype).min  # what cannot be seen is no alternative
        lead = torch.where(apart, (last - next_) / last.abs().clamp(min=1.0), torch.inf)
        lead = lead.reshape(len(here), -1).amin(dim=1)
        seen.tie_margin[here] = torch.minimum(seen.tie_margin[here], lead)

    return hook


def _passing(outer: str | None, rows: dict[str, Tensor], seen: Watched) -> Any:
    def hook(keep: KeepAbove, args: tuple[Tensor, ...]) -> None:
        here = rows[outer] if outer is not None else torch.arange(len(seen.tie_margin))
        margin = (keep.relative(*args) - keep.threshold).abs().masked_fill(~args[1], torch.inf)[:, keep.front :]
        margin = torch.nn.functional.pad(margin, (0, 1), value=torch.inf).amin(dim=1)
        seen.exit_margin[here] = torch.minimum(seen.exit_margin[here], margin)

    return hook
