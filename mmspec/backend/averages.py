"""Weights that follow other weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def follow(module: nn.Module, averages: Iterable[tuple[str, str]], keep: float) -> None:
    """Each node's weights go to `keep` times themselves plus the rest of the other's; what only a follower has is left alone.

    w_average = keep * w_average + (1 - keep) * w         (Mean teachers, arXiv:1703.01780, sec. 2)
    """
    with torch.no_grad():
        for name, followed in averages:
            theirs = dict(module.get_submodule(followed).named_parameters())
            for path, parameter in module.get_submodule(name).named_parameters():
                parameter.lerp_(theirs[path], 1 - keep)
            _statistics(module.get_submodule(name), module.get_submodule(followed))


def _statistics(ours: nn.Module, theirs: nn.Module) -> None:
    """Statistics of a batch norm are taken as they are: they are averages themselves."""
    known = dict(theirs.named_buffers())
    for path, buffer in ours.named_buffers():
        if path in known:
            buffer.copy_(known[path])
