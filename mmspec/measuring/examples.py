"""Inputs that a model is measured with: of given sizes, every text as long as it may be."""

from __future__ import annotations

import torch
from torch import Tensor

from mmspec.cost import Sizes
from mmspec.cost.budgets import most_spent
from mmspec.deploy.cases import planted
from mmspec.ir import Graph
from mmspec.ir.placeholders import placeholders


def inputs_of(graph: Graph, sizes: Sizes, seed: int = 0) -> dict[str, Tensor]:
    """By name, drawn from `seed`, without what a caller may leave out; a budget that is no limit. Of a graph with costs."""
    generator = torch.Generator().manual_seed(seed)
    budgets = most_spent(graph)
    inputs: dict[str, Tensor] = {}
    for value in graph.inputs:
        shape = [int(str(size)) for size in sizes(value)]
        if value.optional:
            continue
        if value.name in budgets:
            inputs[value.name] = torch.full(shape, 2.0 * budgets[value.name])
        elif value.dtype == "i64":
            inputs[value.name] = torch.randint(min(1, value.bound - 1), value.bound, shape, generator=generator)
        elif value.dtype == "bool":
            inputs[value.name] = torch.ones(shape, dtype=torch.bool)
        else:
            inputs[value.name] = torch.randn(shape, generator=generator)
    for place in placeholders(graph):
        inputs[place.input] = planted(inputs[place.input], place, generator)
    return inputs
