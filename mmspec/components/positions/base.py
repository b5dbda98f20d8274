"""Where tokens stand, and what a position component may do about it: at the embedding, or inside every attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmspec.ir import Dim, Scope, Value
from mmspec.spec import Component


@dataclass(frozen=True)
class Layout:
    """Where tokens stand: `prefix` of them nowhere (class tokens), the rest in a row (`grid` None) or, row by row, on a grid:
    (rows, columns), (frames, rows, columns). `streams`: the modalities of a row, one after the other, with their lengths.
    `map`: the map [B, D, rows, columns] that the tokens were, where they come from one."""

    grid: tuple[int, ...] | None = None
    prefix: int = 0
    streams: tuple[tuple[str, Dim], ...] = ()
    map: Value | None = None


SEQUENCE = Layout()


class Position(Component):
    """How tokens are told where they stand. A position is either added to embeddings (`add`), or prepared once for all blocks of a
    stack (`shared`) and then turns queries and keys (`turned`) or biases their scores (`bias`)."""

    role: ClassVar[str] = "position"
    inside: ClassVar[bool] = False  # attention, rather than at the embedding

    def add(self, g: Scope, x: Value, layout: Layout) -> Value:
        """x with its positions, at the embedding.   [B, N, D] -> [B, N, D]"""
        return x

    def shared(
        self, g: Scope, x: Value, layout: Layout, heads: int, head_width: int, causal: bool
    ) -> tuple[Value, ...]:
        """What the attention of every block is handed, made once beside the stack."""
        return ()

    def turned(self, g: Scope, x: Value, shared: tuple[Value, ...], layout: Layout) -> Value:
        """Queries or keys at their places.   [B, h, N, d] -> [B, h, N, d]"""
        return x

    def bias(
        self, g: Scope, queries: Value, keys: Value, shared: tuple[Value, ...], layout: Layout, heads: int
    ) -> Value | None:
        """What is added to the scores of tokens `queries` for tokens `keys`.   [B, N, D], [B, M, D] -> [h, N, M]"""
        return None
