"""Thresholds that comparisons set: every exit forced in turn, and such that samples leave at different ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmspec.deploy.cases import Case
from mmspec.deploy.file import Arrays
from mmspec.deploy.watching import stacks_of, watching


def forced(module: nn.Module) -> Iterator[tuple[int, Arrays]]:
    """Each exit at which every sample then leaves (of a stack with fewer, its last), and the thresholds under the names that files
    have for them. Nothing where there are no exits; afterwards they are what they were."""
    stacks = stacks_of(module)
    with restored(module):
        for exit in range(max((stack.exits for stack in stacks.values()), default=0)):
            for stack in stacks.values():
                stack.force(min(exit, stack.earlier))
            yield exit, {name: value.copy() for name, value in thresholds_of(module).items()}


def stay(module: nn.Module) -> None:
    """Let no sample leave early."""
    for stack in stacks_of(module).values():
        stack.force(stack.earlier)


@contextmanager
def restored(module: nn.Module) -> Iterator[None]:
    """Thresholds are afterwards what they were."""
    before = {name: stack.thresholds.clone() for name, stack in stacks_of(module).items()}
    try:
        yield
    finally:
        for name, stack in stacks_of(module).items():
            stack.thresholds.copy_(before[name])


def thresholds_of(module: nn.Module) -> Arrays:
    """As they are now, under the names that files have for them."""
    return {f"{path}.thresholds": stack.thresholds.numpy() for path, stack in stacks_of(module).items()}


def mixed_thresholds(module: nn.Module, case: Case, margin: float) -> dict[str, Tensor] | None:
    """Thresholds by stack that part the case's samples: after each block at most half of those that are left leave, and the
    threshold lies in the widest gap between two of their scores. None where no gap is wider than twice the margin."""
    stacks = stacks_of(module)
    with restored(module), torch.no_grad(), watching(module, case.batch) as seen:
        stay(module)
        module(*case.inputs)
    found = {name: torch.full_like(stack.thresholds, torch.inf) for name, stack in stacks.items()}
    parted = False
    for name, stack in stacks.items():
        alive = torch.ones(case.batch, dtype=torch.bool)
        for exit in range(stack.earlier):
            sure = seen.scores[name][exit][1]
            ordered = sure[alive].sort().values
            start = (len(ordered) - 1) // 2  # from here on, at most half are above
            gaps = ordered.diff()[start:]
            if len(gaps) == 0 or gaps.max() <= 2 * margin:
                continue
            at = start + int(gaps.argmax())
            found[name][exit] = (ordered[at] + ordered[at + 1]) / 2
            alive &= sure <= found[name][exit]
            parted = True
    return found if parted else None
