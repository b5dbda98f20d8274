"""What transformer encoders share: a stack of pre-norm blocks and a last norm."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.feed_forward import feed_forward
from mmspec.components.positions import Learned, Position
from mmspec.components.routers.base import TokenRouter
from mmspec.components.routers.dense import Dense
from mmspec.ir import Scope, Value
from mmspec.spec import Encoder


class TransformerEncoder(Encoder):
    """Tokens through `depth` blocks.

    x = x + Attention(LN(x))
    x = x + FeedForward(LN(x))        (An Image Is Worth 16x16 Words, arXiv:2010.11929, eq. 2 and 3)
    """

    width: PositiveInt = Field(192, description="channels of a token")
    depth: PositiveInt = Field(12, description="blocks")
    heads: PositiveInt = Field(3, description="attention heads; they must divide the width")
    expansion: PositiveFloat = Field(4.0, description="hidden channels of the feed-forward, as a multiple of the width")
    position: Position = Field(default_factory=Learned, description="how tokens are told where they stand")
    router: TokenRouter = Field(default_factory=Dense, description="experts in the blocks' feed-forward")
    dropout: float = Field(0.0, ge=0, lt=1, description="after the embedding, attention and feed-forward, in training")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the layer norms")

    def through_blocks(self, g: Scope, embedded: Value, grid: tuple[int, int] | None) -> Value:
        """Embedded tokens with their positions through the blocks and the last norm. `grid` is (rows, columns) of patches,
        None for a text.   [B, N, D] -> [B, N, D]"""
        x = self.position.add(g, embedded, grid).named("x")
        x = g.dropout("dropout", x, self.dropout).named("x")
        x = g.stack("blocks", self.depth, self.block, x, class_name="Block")
        return g.norm("norm", x, self.norm_eps)

    def block(self, g: Scope, x: Value) -> Value:
        normed = g.norm("norm1", x, self.norm_eps)
        x = x + g.dropout("dropout1", g.attention("attention", normed, normed, self.heads), self.dropout)
        normed = g.norm("norm2", x, self.norm_eps)
        mixed = feed_forward(g, "feed_forward", normed, expansion=self.expansion, router=self.router)
        return x + g.dropout("dropout2", mixed, self.dropout)
