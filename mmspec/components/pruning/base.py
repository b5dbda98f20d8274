"""What token pruning decides: which tokens a stack goes on with after some of its blocks."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt

from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Component


class Pruning(Component):
    """Which tokens a stack goes on with."""

    role: ClassVar[str] = "pruning"


class AtBlocks(Pruning):
    """Pruning between the attention and the feed-forward of some blocks; class tokens and registers always stay."""

    blocks: tuple[PositiveInt, ...] = Field((1,), min_length=1, description="where tokens are left out, from 1")

    def places(self, depth: int) -> tuple[int, ...]:
        """The blocks, in order.   Raises ShapeError: there is none of that number"""
        if max(self.blocks) > depth:
            raise ShapeError(f"there is no block {max(self.blocks)}: the depth is {depth}", "pruning.blocks")
        if len(set(self.blocks)) < len(self.blocks):
            raise ShapeError(f"{list(self.blocks)} names a block twice", "pruning.blocks")
        return tuple(sorted(self.blocks))

    def streams(self, g: Scope, x: Value) -> tuple[Value, ...]:
        """What goes from block to block: the tokens first, and what changes with them."""
        return (x,) if x.mask is None else (x, x.mask)

    def finished(self, g: Scope, y: Value, x: Value) -> Value:
        """What a stack that was given x gives out, of what its last block carried on."""
        return y

    def prune(self, g: Scope, x: Value, importance: Value, front: int) -> Value:
        """The tokens that stay: the first `front` ones and others.   [B, N, D], f32[B, N] -> [B, K, D]"""
        raise NotImplementedError
