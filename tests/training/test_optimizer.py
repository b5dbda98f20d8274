"""The learning rate's shape, and which parameters decay."""

import math

import pytest
import torch
from torch import nn

from mmspec.training.optimizer import decayed_parameters, learning_rate, optimizer_for
from mmspec.training.recipe import Recipe


def test_the_learning_rate_rises_in_a_line_and_falls_as_a_cosine_to_zero():
    recipe = Recipe(steps=110, warmup=10 / 110, learning_rate=2.0)
    rates = [learning_rate(recipe, step) for step in range(110)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(1.0)  # half-way down
    assert rates[85] == pytest.approx(1 + math.cos(0.75 * math.pi))
    assert 0 < rates[-1] < 1e-3
    assert learning_rate(recipe, 110) == 0


def test_without_a_warm_up_it_begins_at_its_peak():
    assert learning_rate(Recipe(steps=10, warmup=0.0, learning_rate=3.0), 0) == 3.0


class Parts(nn.Module):
    """One of everything that has parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.position = nn.Parameter(torch.zeros(3, 4))
        self.linear = nn.Linear(4, 4)
        self.patches = nn.Conv2d(1, 4, 2)
        self.norm = nn.LayerNorm(4)
        self.fixed = nn.Linear(4, 4)
        self.fixed.requires_grad_(False)


def test_matrices_decay_and_nothing_else_does():
    assert decayed_parameters(Parts()) == {"linear.weight", "patches.weight"}


def test_what_is_frozen_is_not_given_to_the_optimizer():
    module = Parts()
    held = {id(parameter) for group in optimizer_for(module, Recipe()).param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
