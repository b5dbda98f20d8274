"""Modules that somebody else wrote."""

from importlib import import_module
from typing import Any

from torch import nn


def opaque(path: str, arguments: dict[str, Any] | None = None, trained: bool = True) -> nn.Module:
    """The module `package.module:Class(**arguments)`, with its own initial weights.   Raises whatever that raises."""
    package, _, name = path.partition(":")
    module: nn.Module = getattr(import_module(package), name)(**(arguments or {}))
    return module if trained else module.requires_grad_(False)
