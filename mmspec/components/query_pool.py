"""A trained query that looks at all tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.attention.heads import Heads, attend
from mmspec.components.blocks.feed_forward import Activation, feed_forward
from mmspec.components.pools import TokenPool
from mmspec.components.routers.dense import Dense
from mmspec.ir import Scope, Value
from mmspec.ir.dims import scaled
from mmspec.ir.functions import rearrange


class QueryPool(TokenPool):
    """What one trained query sees of all tokens through attention heads, and a feed-forward on it.

        a = Attention(q, x),   y = a + FeedForward(norm(a))          (the query itself is not added)

    Shapes   f32[B, N, D] -> f32[B, D]
    Raises   ShapeError: heads do not divide the width
    Source   Set Transformer, arXiv:1810.00825, sec. 3.2 (pooling by multihead attention); Scaling Vision Transformers,
             arXiv:2106.04560; SigLIP

        label: {type: classification, classes: 12, pool: {type: query, heads: 4}}
    """

    type: Literal["query"] = "query"
    heads: PositiveInt = Field(4, description="attention heads; they must divide the width")
    expansion: PositiveFloat = Field(4.0, description="hidden channels of the feed-forward, as a multiple of the width")
    hidden: PositiveInt | None = Field(
        None, description="the same as a number of channels; it comes before `expansion`"
    )
    activation: Activation = Field("gelu", description="of the feed-forward")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the norm")

    def emit(self, g: Scope, x: Value) -> Value:
        query = g.emit("expand", g.parameter("query", 1, x.width), x).named("query")
        seen = attend(g, "attention", query, x, Heads(self.heads))
        hidden = self.hidden or max(1, scaled(x.width, self.expansion))
        inner = feed_forward(
            g, "feed_forward", g.norm("pool_norm", seen, self.norm_eps), hidden=hidden, router=Dense(),
            activation=self.activation,
        )  # fmt: skip
        return rearrange(seen + inner, "b n c -> b (n c)")
