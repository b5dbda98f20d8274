"""Blocks of stacks that keep their input only while they train, and are run again when their gradients are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from mmspec.backend.fx import ScopeModule
from mmspec.backend.runtime import Stages


def recompute_blocks(module: nn.Module, on: bool = True) -> nn.Module:
    """Let the blocks of every stack of a built model be recomputed in training (`torch.utils.checkpoint`), or, where not `on`, no
    more. Gradients are the same, random numbers included; statistics of batch norms are taken twice.   -> the module"""
    for block in blocks(module):
        block.recomputed = on  # type: ignore[assignment]
    return module


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Every block of a stack, once."""
    for parent in module.modules():
        if isinstance(parent, Stages):
            yield from parent
        elif isinstance(parent, ScopeModule):
            called = [node.target for node in parent._graph.nodes if node.op == "call_module"]
            yield from (parent.get_submodule(name) for name in called if "." in str(name))
