"""Which layers may have fewer bits, by their role in the model: linear layers, but no router and nothing that decides who leaves.

A router or an exit that is a little wrong sends tokens to other experts and samples to other exits: a small error becomes a large
one. Both stay in float32, as do tables, convolutions and normalisations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from mmspec.backend.runtime import FloatLinear
from mmspec.deploy.liveness import asked_at_exits
from mmspec.ir import Graph


@dataclass(frozen=True)
class Roles:
    """Modules by name: linear layers that may have fewer bits; and those that stay, because they are routers or exit heads."""

    layers: tuple[str, ...]
    routers: tuple[str, ...]
    exits: tuple[str, ...]

    @property
    def kept(self) -> tuple[str, ...]:
        return (*self.routers, *self.exits)


def roles_of(module: nn.Module, graph: Graph) -> Roles:
    """The roles of a serving module's linear layers."""
    asked = asked_at_exits(graph)
    routers, exits, layers = [], [], []
    for name, child in _linear(module):
        if isinstance(child, FloatLinear):
            routers.append(name)
        elif f"{name}.weight" in asked:
            exits.append(name)
        else:
            layers.append(name)
    return Roles(tuple(layers), tuple(routers), tuple(exits))


def _linear(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, child in module.named_modules():
        if isinstance(child, nn.Linear):
            yield name, child


def group_of(layer: str) -> str:
    """The group that a layer belongs to: its block, or what it has of its path before its own name: "image.blocks.0", "label"."""
    parts = layer.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0] + 1] if numbers else parts[:1])
