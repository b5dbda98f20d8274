"""A module that runs as it is priced: what data decide is decided for the most that it can cost.

No sample leaves early, no expert is full, every sample takes the costliest networks, rows keep their length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Admit, Claim, Cover, Decide, Experts, KeepAbove, Loop, NextBest, Stages
from mmspec.cost.flops import Sizes, bind_all, flops
from mmspec.ir import Graph, Op, bind, product
from mmspec.ir.graph import copies, operations

LIMITS = (
    ((Admit, NextBest), "capacity", None),
    ((Claim,), "blind", True),
    ((Cover,), "least", 2.0),
    ((Decide,), "sparing", True),
    ((KeepAbove,), "whole", True),
)


@contextmanager
def forced(stacks: Mapping[str, Loop | Stages], exit: int | None, never: bool = False) -> Iterator[None]:
    """Let every sample leave these stacks and loops at one exit; with `never`, at the end."""
    before = {name: stack.thresholds.clone() for name, stack in stacks.items() if isinstance(stack, Stages)}
    for stack in stacks.values():
        stack.force(stack.earlier if never else exit)
    yield
    for name, stack in stacks.items():
        stack.force(None)
        if isinstance(stack, Stages):
            stack.thresholds.copy_(before[name])


@contextmanager
def roomy(model: nn.Module) -> Iterator[None]:
    """No expert is full, experts claim as if every token were present, one route is computed in training too, and rows keep their
    length."""
    before: list[tuple[nn.Module, str, Any]] = []
    for module in model.modules():
        for kinds, name, value in LIMITS:
            if isinstance(module, kinds):
                before.append((module, name, getattr(module, name)))
                setattr(module, name, value)
    yield
    for module, name, value in before:
        setattr(module, name, value)


@contextmanager
def costliest(model: nn.Module, branches: Mapping[str, tuple[int, ...]]) -> Iterator[None]:
    """Every sample takes the costliest branches of each of these nodes, whose branches cost so much."""

    def take(costs: tuple[int, ...]) -> Any:
        def hook(experts: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            choice = args[0]
            last = torch.tensor(sorted(range(len(costs)), key=costs.__getitem__)[-choice.shape[-1] :])
            return last.expand_as(choice), *args[1:]

        return hook

    hooks = []
    for name, costs in branches.items():
        module: Any = model.get_submodule(f"{name}.branches.experts")
        hooks.append(module.register_forward_pre_hook(take(costs)))
    yield
    for hook in hooks:
        hook.remove()


@contextmanager
def loaded(model: nn.Module, graph: Graph, sizes: Sizes) -> Iterator[None]:
    """Every token chooses the same experts, whatever it would choose: nobody has to look at what was chosen, which fake tensors
    could not tell."""
    found: list[Any] = []
    for path, op in operations(graph, "experts"):
        module: Any = model.get_submodule(path)
        assert isinstance(module, Experts)
        module.__dict__["counts"] = _answers(loads(op, sizes))
        found.append(module)
    yield
    for module in found:
        del module.__dict__["counts"]


def _answers(counts: list[int]) -> Any:
    return lambda chosen: counts


@contextmanager
def as_priced(model: nn.Module, graph: Graph, sizes: Sizes, *, fake: bool = False) -> Iterator[None]:
    """All of it. `fake`: on tensors without numbers, where nobody leaves since nobody could."""
    stacks = {name: module for name, module in model.named_modules() if isinstance(module, (Loop, Stages))}
    with ExitStack() as ways:
        ways.enter_context(roomy(model))
        ways.enter_context(loaded(model, graph, sizes))
        if not fake:
            ways.enter_context(forced(stacks, None, never=True))
        yield


def loads(op: Op, sizes: Sizes) -> list[int]:
    """How many rows each network of an `experts` operation computes, if all choose alike: of networks that differ the costliest, of
    others the first ones, as many rows as there are tokens, or as an expert has room for."""
    count: int = op.attributes["count"]
    shape = sizes(op.inputs[0])
    tokens = _whole(product(shape[:-1]))
    if len(op.bodies) > 1:
        costs = [bind_all(flops(body, sizes).own) for body in copies(op)]
        dearest = sorted(range(count), key=costs.__getitem__)[-_whole(shape[-1]) :]
        return [tokens if index in dearest else 0 for index in range(count)]
    busiest = tokens
    if (room := op.attributes.get("room")) is not None and len(shape) == 3:
        busiest = tokens // _whole(shape[1]) * min(_whole(shape[1]), _whole(bind(room, sizes.sizes)))
    left = min(_whole(sizes(op.bodies[0].inputs[0])[0]), count * busiest)
    counts = []
    for _ in range(count):
        counts.append(min(busiest, left))
        left -= counts[-1]
    return counts


def _whole(dim: object) -> int:
    assert isinstance(dim, int), f"{dim} is not bound"
    return dim
