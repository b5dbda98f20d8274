"""AdamW over the right parameters, and the learning rate of a step as a function of the step.

AdamW: Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmspec.training.recipe import Recipe


def optimizer_for(module: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over what is trainable: matrices and kernels decay, all else does not.

    What is left alone: biases and norms (one axis), embeddings and tables that are no module's `weight` (positions,
    queries).
    """
    decayed = decayed_parameters(module)
    trainable = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    groups = [
        {"params": [p for name, p in trainable.items() if name in decayed], "weight_decay": recipe.weight_decay},
        {"params": [p for name, p in trainable.items() if name not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2)
    )


def decayed_parameters(module: nn.Module) -> set[str]:
    """Names of the parameters that weight decay applies to."""
    embeddings = {f"{path}.weight" for path, part in module.named_modules() if isinstance(part, nn.Embedding)}
    return {
        name
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and parameter.ndim > 1 and name.endswith("weight") and name not in embeddings
    }


def learning_rate(recipe: Recipe, step: int) -> float:
    """Of a step, the first is 0: up in a line over the warm-up, down to 0 as half a cosine after the last."""
    rising = round(recipe.warmup * recipe.steps)
    if step < rising:
        return recipe.learning_rate * (step + 1) / rising
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / (recipe.steps - rising)))


def average_keep(recipe: Recipe, step: int) -> float:
    """What averaged weights keep of themselves after a step: from `average` up to 1, as half a cosine (arXiv:2104.14294,
    sec. 3.1)."""
    return 1 - (1 - recipe.average) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


def optimizer_state(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the optimizer remembers, by `parameter/quantity`. An expert that has seen no token yet has nothing."""
    return {
        f"{name}/{quantity}": value
        for name, parameter in module.named_parameters()
        for quantity, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Put back what `optimizer_state` gave, for the same module."""
    parameters = dict(module.named_parameters())
    for key, value in state.items():
        name, quantity = key.rsplit("/", 1)
        optimizer.state[parameters[name]][quantity] = value
