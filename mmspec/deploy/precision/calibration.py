"""What each linear layer reads on examples of the task: the range that static int8 spreads its 256 levels over.

The torch module is watched, so that layers inside of experts, branches and stages are seen as well, by their own names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.deploy.watching import stacks_of
from mmspec.errors import UserError


@dataclass(frozen=True)
class Range:
    """The least and the largest number that a layer read."""

    low: float
    high: float

    def joined(self, other: Range | None) -> Range:
        return self if other is None else Range(min(self.low, other.low), max(self.high, other.high))


def ranges_of(
    module: nn.Module, layers: Iterable[str], examples: Iterable[tuple[Tensor, ...]], source: str
) -> dict[str, Range]:
    """The range of what each of these layers reads, with every exit's blocks run for every example.

    Raises   UserError: no example reached a layer, such as an expert that was never chosen; it is named
    """
    layers = list(layers)
    seen: dict[str, Range] = {}

    def hook(name: str) -> Any:
        def look(child: nn.Module, args: tuple[Tensor, ...]) -> None:
            if args[0].numel():
                seen[name] = Range(float(args[0].min()), float(args[0].max())).joined(seen.get(name))

        return look

    handles = [module.get_submodule(name).register_forward_pre_hook(hook(name)) for name in layers]
    stacks = stacks_of(module)
    try:
        for stack in stacks.values():
            stack.force(stack.earlier)
        with torch.no_grad():
            for values in examples:
                module(*values)
    finally:
        for stack in stacks.values():
            stack.force(None)
        for handle in handles:
            handle.remove()
    if missed := [name for name in layers if name not in seen]:
        experts = sorted({owner for name in missed if (owner := _expert(name))})
        who = f"the experts {', '.join(experts[:5])}" if experts else f"the layers {', '.join(missed[:5])}"
        raise UserError(
            f"none of the calibration's examples ({source}) met {who}: the range of what they read is not known. "
            "More examples (quantisation.samples) may reach them; activations: dynamic needs none"
        )
    return seen


def _expert(layer: str) -> str:
    """The expert that a layer belongs to, or ""."""
    before, found, after = layer.rpartition(".experts.")
    return f"{before}{found}{after.split('.')[0]}" if found else ""
