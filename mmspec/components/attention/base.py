"""What an attention pattern decides: what keys are made of, and how queries, keys and values are mixed."""

from __future__ import annotations

from typing import Any, ClassVar

from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, Value
from mmspec.spec import Component


class Attention(Component):
    """Which tokens see which."""

    role: ClassVar[str] = "attention"

    @property
    def is_causal(self) -> bool:
        """Whether a token sees itself and earlier ones only: what the pattern's field `causal` says, where it has one."""
        return bool(getattr(self, "causal", False))

    @property
    def title(self) -> str:
        """The class of a sublayer's module, as it is printed."""
        return "SelfAttention"

    def of_block(self, index: int) -> Attention:
        """The pattern of a stack's block, counted from zero: windows are shifted in every second, random ones drawn anew."""
        return self

    def within(self, layout: Layout) -> Layout:
        """Where tokens that see each other stand: in the whole layout, or in each of the groups that `gather` makes."""
        return layout

    def gather(self, g: Scope, x: Value, layout: Layout) -> Value:
        """Tokens in groups that see nothing of each other, as samples of their own.   [B, N, D] -> [B * groups, n, D]"""
        return x

    def scatter(self, g: Scope, y: Value, layout: Layout) -> Value:
        """Back from groups to where the tokens stood.   [B * groups, n, D] -> [B, N, D]"""
        return y

    def context(self, g: Scope, x: Value, layout: Layout) -> Value:
        """What keys and values of self-attention are made of: the tokens themselves, or fewer.   [B, N, D] -> [B, M, D]"""
        return x

    def mix(
        self,
        g: Scope,
        query: Value,
        key: Value,
        value: Value,
        layout: Layout,
        mask: Value | None = None,
        bias: Value | None = None,
        scale: float | None = None,
    ) -> Value:
        """[B, h, N, d], [B, g, M, d], [B, g, M, d], mask bool[B, M], bias [h, N, M] -> [B, h, N, d]"""
        raise NotImplementedError


def mixed(
    g: Scope, kind: str, query: Value, key: Value, value: Value, given: dict[str, Value | None], **said: Any
) -> Value:
    """One of the primitives of `mmspec.ir.primitives.patterns`; what is None in `given` is left out."""
    there = {name: value for name, value in given.items() if value is not None}
    return g.emit(kind, query, key, value, *there.values(), given=tuple(there), **said)
