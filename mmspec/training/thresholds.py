"""Thresholds for what is wanted of a model with exits: a mean cost, an accuracy, or the greatest saving within a loss of accuracy.

Each exit has a threshold of its own, because heads are not equally honest: a confidence of 0.9 after the first block is right less
often than after the fifth. The search begins with the best threshold that all exits share and moves one at a time, over levels
halfway between the scores of two examples, as long as that helps. It is deterministic, and never worse than the best shared one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from mmspec.training.journeys import Journeys

NEVER = 1.0  # no probability is above it
LEVELS = 48  # tried at each exit
ROUNDS = 20  # at most, over all exits

Levels = tuple[float, ...]
Choice = Mapping[str, Levels]


@dataclass(frozen=True)
class Goal:
    """cost: a mean at most this share of the full cost; accuracy: at least this; loss: at most this below the full model's."""

    kind: Literal["cost", "accuracy", "loss"]
    amount: float


@dataclass(frozen=True)
class Stack:
    """A stack's journeys, and what a sample spends in it (and on its head) up to each exit, f64[E]."""

    journeys: Journeys
    spent: Tensor

    def outcome(self, levels: Levels) -> tuple[float, float]:
        """(accuracy, mean cost) of the stack."""
        exits = self.journeys.exits(levels)
        return self.journeys.mean(self.journeys.at(self.journeys.right, exits)), self.journeys.mean(self.spent[exits])

    def candidates(self, exit: int) -> list[float]:
        """Levels halfway between neighbouring scores, evenly spread over the examples, and none."""
        scores = torch.unique(self.journeys.scores[exit].double())  # sorted
        middles = ((scores[1:] + scores[:-1]) / 2).tolist()
        places = (
            torch.linspace(0, len(middles) - 1, min(LEVELS, len(middles))).round().int().tolist() if middles else []
        )
        return sorted({round(middles[place], 6) for place in places} | {NEVER})


@dataclass(frozen=True)
class Outcome:
    """Of all stacks together. `cost` is a share of the full cost; `accuracy` the mean over heads."""

    levels: Choice
    accuracy: float
    cost: float


class Search:
    """Over stacks by name, with `around`: what the model computes outside them; `others`: accuracies of other heads."""

    def __init__(self, stacks: Mapping[str, Stack], around: float, others: Sequence[float] = ()) -> None:
        self.stacks, self.around, self.others = stacks, around, others
        self.full = around + sum(float(stack.spent[-1]) for stack in stacks.values())
        self._outcome = cache(lambda name, levels: stacks[name].outcome(levels))

    def outcome(self, levels: Choice) -> Outcome:
        """What these thresholds give, if no stack's exits change what another says."""
        parts = [self._outcome(name, levels[name]) for name in self.stacks]
        accuracies = [*(accuracy for accuracy, _ in parts), *self.others]
        cost = self.around + sum(cost for _, cost in parts)
        return Outcome(levels, sum(accuracies) / len(accuracies), cost / self.full)

    def everywhere(self, level: float) -> Outcome:
        """One threshold for all exits."""
        return self.outcome({name: (level,) * (len(stack.spent) - 1) for name, stack in self.stacks.items()})

    def best(self, goal: Goal) -> Outcome:
        """The thresholds that come closest to the goal, or reach it best."""
        return min(
            (self._improved(start, goal) for start in self._starts(goal)), key=lambda found: self.key(goal, found)
        )

    def shared(self, goal: Goal) -> Outcome:
        """The same with one threshold for all."""
        levels = {
            level
            for stack in self.stacks.values()
            for e in range(len(stack.spent) - 1)
            for level in stack.candidates(e)
        }
        return min(map(self.everywhere, sorted({0.0, *levels})), key=lambda found: self.key(goal, found))

    def key(self, goal: Goal, found: Outcome) -> tuple[float, ...]:
        """Smaller is better: first to reach the goal, then what it leaves open, then the other."""
        if goal.kind == "cost":
            missed = max(0.0, found.cost - goal.amount)
            return (missed, -found.accuracy, found.cost)
        missed = max(0.0, self.wanted(goal) - found.accuracy)
        return (missed, found.cost, -found.accuracy)

    def wanted(self, goal: Goal) -> float:
        """The accuracy that is asked for."""
        least = goal.amount if goal.kind == "accuracy" else self.everywhere(NEVER).accuracy - goal.amount
        return least - 1e-12

    def _starts(self, goal: Goal) -> Iterator[Outcome]:
        yield self.shared(goal)
        yield self.everywhere(NEVER)

    def _improved(self, found: Outcome, goal: Goal) -> Outcome:
        for _ in range(ROUNDS):
            before = found
            for name, stack in self.stacks.items():
                for exit in range(len(stack.spent) - 1):
                    tried = (self._with(found, name, exit, level) for level in stack.candidates(exit))
                    found = min((found, *tried), key=lambda each: self.key(goal, each))
            if found is before:
                break
        return found

    def _with(self, found: Outcome, name: str, exit: int, level: float) -> Outcome:
        levels = found.levels[name]
        return self.outcome({**found.levels, name: (*levels[:exit], level, *levels[exit + 1 :])})
