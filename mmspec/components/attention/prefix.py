"""What is given is seen both ways, what is written only backwards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.attention.base import Attention
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, Value


class Prefix(Attention):
    """The first `tokens` see one another both ways; each later one sees them, itself and what stands before it.

        token n sees token m  where  m <= max(n, tokens - 1)

    The prefix is as long for every sample, as where a picture's tokens stand in front of a text. All scores are computed: the price
    is that of full attention.

    Source   T5, arXiv:1910.10683, sec. 3.2.1 (prefix LM); UniLM, arXiv:1905.03197; PaliGemma, arXiv:2407.07726, fig. 2

        text: {type: text_transformer, attention: {type: prefix, tokens: 16}}
    """

    type: Literal["prefix"] = "prefix"
    tokens: PositiveInt = Field(16, description="how many tokens at the front see one another")

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
        return g.scores(query, key, value, mask, bias, causal=True, scale=scale, prefix=self.tokens)
