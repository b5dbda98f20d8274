"""Opaque modules, imported and made; what goes wrong there is told as the component's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from mmspec.backend import runtime
from mmspec.cost.flops import Sizes
from mmspec.errors import UserError
from mmspec.ir import PRIMITIVES, Op

TORCH = SimpleNamespace(runtime=runtime)


def imported(path: str, op: Op) -> nn.Module:
    """The module of an `opaque` operation.   Raises UserError: it cannot be imported or made, or is no torch module."""
    try:
        made = PRIMITIVES["opaque"].make(TORCH, op)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{path} is {op.attributes['module']}, which cannot be imported: {error}") from error
    except Exception as error:  # whatever somebody else's code raises
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{path} is {op.attributes['module']}, which cannot be made: {why}") from error
    if not isinstance(made, nn.Module):
        raise UserError(f"{path} is {op.attributes['module']}, which makes no torch module but {type(made).__name__}")
    return made


class AnswersAsDeclared:
    """A hook: an opaque module answers in the shape that its component has declared.   Raises UserError"""

    def __init__(self, path: str, op: Op, sizes: Sizes) -> None:
        self.path, self.module, self.shape = path, op.attributes["module"], sizes(op.outputs[0])

    def __call__(self, module: Any, inputs: Any, answer: Any) -> None:
        found = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        if found != list(self.shape):
            raise UserError(f"{self.path} ({self.module}) answers {found}, and {list(self.shape)} is declared")
