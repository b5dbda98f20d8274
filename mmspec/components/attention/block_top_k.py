"""Blocks of tokens that see the few blocks that matter to them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.attention.base import Attention, mixed
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.dims import blocks


class BlockTopK(Attention):
    r"""Tokens in blocks; each block sees itself and the k blocks that are most like what it asks for, in each head its own.

        s_ij = mean_{n in block i} q_n . mean_{m in block j} k_m
        block i sees itself and the k other blocks of largest s_ij
        causal: s_ij with the mean query of block i - 1, among the blocks j < i (the nearest where that block is
                absent); inside a block a token sees earlier ones

    Which blocks is found from their means, and scores are computed for those alone: (k + 1) N block products of d channels a
    head, and (N / block)^2 for the means. A row is padded inside to whole blocks, and to k + 1 of them. Class tokens stand in
    the first block; a grid is read row by row.

    Shapes   [B, h, N, d] -> [B, h, N, d]
    Raises   ShapeError: k and one blocks are more than the row has
    Source   MoBA, arXiv:2502.13189, sec. 2.2 (mean-pooled keys, top-k, the own block always); NSA, arXiv:2502.11089 (blocks chosen
             together for what is computed together)
    Differs  a block of queries chooses together, by its mean; MoBA's queries choose each for itself

        text: {type: text_transformer, attention: {type: block_top_k, block: 4, k: 1}}
    """

    type: Literal["block_top_k"] = "block_top_k"
    block: PositiveInt = Field(64, description="tokens of a block")
    k: PositiveInt = Field(3, description="blocks that each block sees beside itself")
    causal: bool = Field(False, description="only itself and what stands before it")

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
        count = blocks(g.limit(query.shape[2]), self.block)
        if self.k + 1 > count:  # type: ignore[operator]
            message = f"a block cannot see {self.k} others: {g.limit(query.shape[2])} tokens are {count} blocks of {self.block}"
            raise ShapeError(message, "attention.k", hint="a smaller block, or attention: full")
        given = () if mask is None else (mask,)
        how = {"size": self.block, "k": self.k, "causal": self.causal}
        chosen = g.emit("block_choice", query, key, *given, name="choice", **how).named("chosen")
        said = {"size": self.block, "causal": self.causal, "scale": scale}
        tables = {"chosen": chosen, "mask": mask, "bias": bias}
        return mixed(g, "chosen_block_attention", query, key, value, tables, **said)
