"""Whether tokens met the best experts: each alternative is forced, on a sample.

Of each of SAMPLES examples one token is drawn; in each layer its last chosen expert is replaced, with the weight that this one had,
by each expert that it does not meet. The route taken was the best where no alternative gives the example a smaller loss.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmspec.backend.runtime import Experts
from mmspec.cost.quantities import share
from mmspec.data.batch import Batch, generator
from mmspec.training.diagnostics.html import table
from mmspec.training.diagnostics.routing import NO_EXPERTS
from mmspec.training.diagnostics.subject import Figures, Section, Subject, Unfit, to_the_end
from mmspec.training.loads import choices
from mmspec.training.modes import evaluating

SAMPLES = 64


def measure(subject: Subject) -> Figures | Unfit:
    """By layer: `best`, the share of routes taken that no alternative beats; `by_chance`, what a random route would have; `gain`,
    by how much the best alternative lowers the loss on average, where there is one that does."""
    if not subject.experts:
        return NO_EXPERTS
    if subject.target is None:
        return "no head of this model tells classes, so that no loss says which route is best"
    target = subject.target
    batch = next(iter(subject.trained.data.evaluation_batches(subject.split, SAMPLES)))
    truth, found = batch.targets[target.column], {}
    with to_the_end(subject.module), evaluating(subject.module):

        def losses() -> Tensor:
            return F.cross_entropy(subject.module(**batch.inputs)[target.head], truth, reduction="none")

        taken = losses()
        for name, layer in subject.experts.items():
            row = _layer(layer, batch, taken, losses)
            if row is not None:
                found[name] = row
    return found or "every token meets all experts, so that there is no other route"


def _layer(layer: Experts, batch: Batch, taken: Tensor, losses: Any) -> Figures | None:
    samples = len(batch.groups)
    draw = torch.rand(samples, generator=generator("diagnose a token"))
    alternatives = []
    k, number = 0, 0
    while number < len(layer) - (k or 1):
        route = _Detour(draw, number)
        handle = layer.register_forward_pre_hook(route)
        try:
            alternatives.append(losses())
        finally:
            handle.remove()
        if route.k >= len(layer):
            return None
        k, number = route.k, number + 1
    least = torch.stack(alternatives).amin(dim=0)
    best = taken <= least + 1e-6  # rounding is no reason to call another route better
    gain = (taken - least)[~best]
    return {
        "best": float(best.double().mean()),
        "by_chance": 1 / (len(alternatives) + 1),
        "alternatives": len(alternatives),
        "samples": samples,
        "gain": float(gain.mean()) if len(gain) else None,
    }


class _Detour:
    """Sends one token of each sample to its `number`-th expert that it does not meet, in place of the last one that it meets."""

    def __init__(self, draw: Tensor, number: int) -> None:
        self.draw, self.number, self.k = draw, number, 1

    def __call__(self, layer: Experts, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        choice = choices(args)  # [B, N, k], the likeliest first
        self.k = choice.shape[-1]
        if self.k >= len(layer) or choice.dim() != 3:
            return None
        rows = torch.arange(len(self.draw))
        token = (self.draw * choice.shape[1]).long()
        met = choice[rows, token]
        there = torch.ones(len(rows), len(layer) + 1, dtype=torch.bool)  # and nobody, where an expert was full
        left = there.scatter(1, met, False)[:, : len(layer)]
        order = left.to(torch.int8).argsort(
            dim=1, descending=True, stable=True
        )  # those that it does not meet come first
        changed = choice.clone()
        changed[rows, token, -1] = order[:, self.number]
        return (changed, *args[1:])


def draw(figures: Figures) -> str:
    rows = [
        (
            f"<code>{name.removesuffix('.experts')}</code>",
            share(row["best"], 1),
            share(row["by_chance"], 1),
            str(row["alternatives"]),
            "\u2013" if row["gain"] is None else f"{row['gain']:.4f}",
        )
        for name, row in figures.items()
    ]
    heads = ("layer", "best", "a random route", "alternatives", "loss that the best alternative saves")
    return table(heads, rows, numbers=(1, 2, 3, 4))


BEST_ROUTE = Section(
    "best_route",
    "Was it the best route?",
    f"On {SAMPLES} samples, one token of each: its last expert is replaced by each that it does not meet, with the same weight. "
    "Best: no alternative gives a smaller loss.",
    measure,
    draw,
)
