"""Some nodes of a model with the weights that another one has for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from mmspec.backend.averages import follow
from mmspec.errors import UserError
from mmspec.passes.averages import averages
from mmspec.spec import ModelSpec
from mmspec.spec.weights import WHOLE
from mmspec.weights.checkpoint import open_checkpoint
from mmspec.weights.layout import OURS
from mmspec.weights.load import Loaded


def inherit(module: nn.Module, spec: ModelSpec, weights: str | Path, nodes: Sequence[str]) -> Loaded:
    """Take every tensor of these nodes from a checkpoint by our names, and leave what else it has. Averages of them begin where
    they follow, as they do in a new model.

    Raises   UserError: the file is not there or torn; it has a tensor not at all, or in another shape. Nothing is changed then.
    """
    checkpoint = open_checkpoint(weights)
    wanted = {name: tensor for name, tensor in module.state_dict().items() if name.partition(".")[0] in nodes}
    wrong = [name for name, tensor in wanted.items() if checkpoint.shapes.get(name) != tuple(tensor.shape)]
    if wrong:
        found = checkpoint.shapes.get(wrong[0])
        there = "it is not there" if found is None else f"there it is {list(found)}"
        more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise UserError(
            f"{wrong[0]} is {list(wanted[wrong[0]].shape)} and cannot be inherited from {checkpoint.name}: {there}{more}"
        )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(checkpoint.read(name))
    loaded = spec.weights.keys()
    followers = [
        (name, followed) for name, followed in averages(spec) if followed in nodes and not {name, WHOLE} & loaded
    ]
    follow(module, followers, keep=0.0)
    return Loaded(checkpoint.name, OURS, len(wanted), (f"{', '.join(nodes)} began with them, other nodes did not",))
