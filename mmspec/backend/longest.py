"""Texts that are longer than a model has places for, told as such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx

from mmspec.errors import UserError
from mmspec.spec import ModelSpec


class Longest:
    """Called before a model runs: of a text with more tokens than its input has, torch would speak of tensors that do not match.

    Raises   UserError
    """

    def __init__(self, longest: Mapping[str, int], names: tuple[str, ...]) -> None:
        self.longest, self.names = longest, names

    def __call__(self, module: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        for name, value in (*zip(self.names, given, strict=False), *named.items()):
            if name in self.longest and value is not None and value.shape[1] > self.longest[name]:
                message = f"{name} has {value.shape[1]} tokens, and the longest is {self.longest[name]}"
                raise UserError(f"{message}: inputs.{name}.length of the spec says how many there may be")


def refuse_longer_texts(module: fx.GraphModule, spec: ModelSpec) -> None:
    """Let a spec's model say which text is too long."""
    longest = {name: text.length for name, text in spec.inputs.items() if text.type == "text"}  # type: ignore[attr-defined]
    if longest:
        names = tuple(node.name for node in module.graph.nodes if node.op == "placeholder")
        module.register_forward_pre_hook(Longest(longest, names), with_kwargs=True)
