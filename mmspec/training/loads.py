"""Which experts tokens are sent to, on a split.

load      share of the tokens' choices that each expert got, padding included, as it is computed too; they sum to 1 - dropped
tokens    how many were sent, or samples where whole ones are
dropped   share of the choices that found no room
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Experts
from mmspec.data.batch import Dataset
from mmspec.training.modes import evaluating


def loads(module: nn.Module, data: Dataset, split: str, size: int) -> dict[str, dict[str, Any]]:
    """By module of experts; empty where there are none. Samples that left a stack before are not counted behind it."""
    layers = {name: child for name, child in module.named_modules() if isinstance(child, Experts)}
    counts = {name: torch.zeros(len(layer) + 1, dtype=torch.int64) for name, layer in layers.items()}
    tokens = dict.fromkeys(layers, 0)
    if not layers:
        return {}

    def note(name: str, choice: Tensor) -> None:
        counts[name] += choice.flatten().bincount(minlength=len(counts[name]))
        tokens[name] += choice.flatten(0, -2).shape[0]

    with watching(module, note), evaluating(module):
        for batch in data.evaluation_batches(split, size):
            module(**batch.inputs)
    return {name: _row(counts[name], tokens[name]) for name in layers}


def _row(counts: Tensor, tokens: int) -> dict[str, Any]:
    total = max(1, int(counts.sum()))
    *load, dropped = (counts.double() / total).tolist()
    return {"tokens": tokens, "load": load, "dropped": dropped}


@contextmanager
def watching(module: nn.Module, note: Any) -> Iterator[None]:
    """Call `note(name, choice)` at each run of a layer of experts; choice i64[..., k], where len(layer) is nobody."""
    handles = []
    for name, child in module.named_modules():
        if isinstance(child, Experts):

            def hook(layer: Experts, args: tuple[Any, ...], name: str = name) -> None:
                note(name, choices(args))

            handles.append(child.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def choices(args: tuple[Any, ...]) -> Tensor:
    """The experts that a layer sends its tokens to, of what it is called with.   -> i64[..., k]"""
    choice: Tensor = args[0]
    return choice
