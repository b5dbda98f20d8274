"""Transformer over a text that sees all of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.blocks import pre_norm_block
from mmspec.components.positions import Learned, Position
from mmspec.components.routers.base import TokenRouter
from mmspec.components.routers.dense import Dense
from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Encoder


class TextTransformer(Encoder):
    """Token embeddings with positions, through bidirectional pre-norm blocks and a last norm. Padding is never attended to.

    Shapes   i64[B, N], mask bool[B, N] -> f32[B, N, width]
    Raises   ShapeError: heads do not divide the width; the input is no text
    Source   BERT, arXiv:1810.04805, with the norms before the sublayers (arXiv:2002.04745)

        text: {type: text_transformer, width: 128, depth: 3, heads: 4}
    """

    type: Literal["text_transformer"] = "text_transformer"
    width: PositiveInt = Field(192, description="channels of a token")
    depth: PositiveInt = Field(6, description="blocks")
    heads: PositiveInt = Field(3, description="attention heads; they must divide the width")
    expansion: PositiveFloat = Field(4.0, description="hidden channels of the feed-forward, as a multiple of the width")
    position: Position = Field(default_factory=Learned, description="how tokens are told where they stand")
    router: TokenRouter = Field(default_factory=Dense, description="experts in the blocks' feed-forward")
    dropout: float = Field(0.0, ge=0, lt=1, description="after the embedding, attention and feed-forward, in training")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the layer norms")

    def emit(self, g: Scope, ids: Value) -> Value:
        if ids.dtype != "i64":
            raise ShapeError(f"a text_transformer reads token ids, and {ids.name} is {ids.dtype}", "from")
        x = self.position.add(g, g.embedding("embedding", ids, ids.bound, self.width), None).named("x")
        x = g.stack(
            "blocks", self.depth, self.block, g.dropout("dropout", x, self.dropout).named("x"), class_name="Block"
        )
        return g.norm("norm", x, self.norm_eps)

    def block(self, g: Scope, x: Value) -> Value:
        return pre_norm_block(
            g,
            x,
            heads=self.heads,
            expansion=self.expansion,
            router=self.router,
            dropout=self.dropout,
            eps=self.norm_eps,
        )
