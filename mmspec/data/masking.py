"""Tokens that a model learns to guess: hidden ones (BERT, arXiv:1810.04805, sec. 3.1), and the next one.

    ids, target = hide(ids, hiding, generator)      what the model reads, and what the objective asks
    target = following(ids, pad)                    what the next one is, to measure how well it was guessed

A draw depends on its generator alone: give one for the step, and a run that was stopped sees the same tokens hidden again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec

NOT_ASKED = -1  # a target that the objective leaves out


@dataclass(frozen=True)
class Hiding:
    """How the tokens of one text are hidden: fields of the objective `masked_token`, and what its text says of ids."""

    text: str
    mask_id: int
    vocabulary: int
    never: tuple[int, ...]
    share: float
    masked: float
    random: float


def hidings(spec: ModelSpec) -> tuple[Hiding, ...]:
    """What a spec's objectives hide, one for each text."""
    found: dict[str, Hiding] = {}
    for component in spec.objectives:
        objective: Any = component
        if objective.type == "masked_token":
            text: Any = spec.inputs[objective.text]
            never = objective.never if text.pad is None else (text.pad, *objective.never)
            shares = (objective.share, objective.masked, objective.random)
            found[objective.text] = Hiding(objective.text, objective.mask_id, text.vocab_size, never, *shares)
    return tuple(found.values())


def hide(ids: Tensor, hiding: Hiding, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The ids with some hidden, and at the chosen places what they were, `NOT_ASKED` elsewhere.
    i64[B, N] -> i64[B, N], i64[B, N]"""
    free = ~torch.isin(ids, torch.tensor(hiding.never, dtype=ids.dtype))
    chosen = free & (torch.rand(ids.shape, generator=generator) < hiding.share)
    fate = torch.rand(ids.shape, generator=generator)
    other = torch.randint(hiding.vocabulary, ids.shape, generator=generator)
    hidden = ids.masked_fill(chosen & (fate < hiding.masked), hiding.mask_id)
    swapped = chosen & (fate >= hiding.masked) & (fate < hiding.masked + hiding.random)
    return torch.where(swapped, other, hidden), ids.masked_fill(~chosen, NOT_ASKED)


def following(ids: Tensor, pad: int) -> Tensor:
    """The token after each, `NOT_ASKED` where there is none.   i64[B, N] -> i64[B, N]"""
    after = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], pad)], dim=1)
    return after.masked_fill(after == pad, NOT_ASKED)
