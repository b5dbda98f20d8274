"""A module in evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(module: nn.Module, whole: bool = False) -> Iterator[None]:
    """Evaluation mode without gradients, for a while. `whole`: what only losses look at is returned, too."""
    was_training = module.training
    module.eval()
    if whole:
        module.get_submodule("outputs").train()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)
