"""A token sees a few others, drawn once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.attention.base import Attention, mixed
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, Value


class Random(Attention):
    """A token sees itself and some `others`, drawn for each token, head and block of the stack from a seed.

    All scores are computed and most are dropped: single keys that lie anywhere save no work on today's devices, and the price is
    that of full attention. `block_sparse` draws whole blocks, which do save it. Tokens drawn beyond the end of a shorter text are
    not seen.

    Shapes   [B, h, N, d] -> [B, h, N, d];  N^2 products of d channels per head
    Source   BigBird, arXiv:2007.14062, sec. 2: a random graph, here of single tokens

        text: {type: text_transformer, attention: {type: random, others: 4}}
    """

    type: Literal["random"] = "random"
    others: PositiveInt = Field(32, description="others that each token sees, as far as there are so many")
    seed: int = Field(0, description="of the draw in the first block of a stack; the next has the next")
    causal: bool = Field(False, description="of those drawn only the earlier ones")

    def of_block(self, index: int) -> Attention:
        return self.model_copy(update={"seed": self.seed + index})

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
        heads, length = query.shape[1], g.limit(query.shape[2])
        count = min(self.others, length - 1)
        sizes = (heads, length, count, self.seed)
        drawn = g.constant("random_tokens", "random_tokens", *sizes, shape=(heads, length, count), dtype="i64")
        given = {"drawn": drawn, "mask": mask, "bias": bias}
        return mixed(g, "random_attention", query, key, value, given, causal=self.causal, scale=scale)
