"""Blocks of tokens that see a few other blocks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from mmspec.components.attention.base import Attention, mixed
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, Value
from mmspec.ir.dims import blocks


class BlockSparse(Attention):
    """Tokens in blocks of `block`; block i sees block j where

        i or j is one of the `ends` first or last blocks        (global)
        |i - j| <= neighbours                                   (window)
        j is one of the `random` blocks drawn for i             (random; for each head anew)

    Computed block by block against the blocks that each sees. Random blocks are a table that follows from the seed, the block's
    place in the stack and the longest text; those beyond the end of a shorter text are not seen. A text is padded inside to whole
    blocks, and to 2 (ends + neighbours + 1) of them at least. Class tokens stand in the first block; a grid is read row by row.

    Shapes   [B, h, N, d] -> [B, h, N, d];  about N block (2 ends + 2 neighbours + 1 + random) products of d channels per head
    Source   BigBird (ITC), arXiv:2007.14062, sec. 2 and appendix D
    Differs  transformers computes full attention for texts of up to 5 + 2 random blocks, and draws random blocks in training only:
             at inference each is the first block once more, which is `seed: null`

        text: {type: text_transformer, attention: {type: block_sparse, block: 2, random: 1}}
    """

    type: Literal["block_sparse"] = "block_sparse"
    block: PositiveInt = Field(64, description="tokens of a block")
    random: NonNegativeInt = Field(
        3, description="random blocks that each block sees, as far as the text has so many others"
    )
    neighbours: NonNegativeInt = Field(1, description="blocks on either side that each block sees")
    ends: NonNegativeInt = Field(
        1, description="blocks at the front, and at the back, that see all and are seen by all"
    )
    seed: int | None = Field(0, description="of the random blocks; none: each is the first block")

    def of_block(self, index: int) -> Attention:
        return self if self.seed is None or not self.random else self.model_copy(update={"seed": self.seed + index})

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
        given: dict[str, Value | None] = {"drawn": None, "mask": mask, "bias": bias}
        length = g.limit(query.shape[2])
        count = blocks(length, self.block, 2 * (self.ends + self.neighbours) + 2)
        assert isinstance(count, int)
        if count > blocks(length, self.block):  # type: ignore[operator]
            g.note(
                f"block_sparse attention pads {length} tokens to {count} blocks of {self.block}; full attention costs less"
            )
        others = count - 2 * self.ends - 2 * self.neighbours - 1
        random = self.random if self.seed is None else min(self.random, others)
        if random:
            heads = query.shape[1]
            sizes = (heads, count, random, self.ends, self.neighbours, self.seed)
            shape = (heads, count - 2 * self.ends, random)
            given["drawn"] = g.constant("random_blocks", "random_blocks", *sizes, shape=shape, dtype="i64")
        said = {"size": self.block, "ends": self.ends, "reach": self.neighbours, "scale": scale}
        return mixed(g, "block_attention", query, key, value, given, **said)
