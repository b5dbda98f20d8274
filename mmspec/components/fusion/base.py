"""What all fusions share: streams of tokens, brought to one width, through a stack that may stop early."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.attention.heads import Heads
from mmspec.components.blocks.attention import attention
from mmspec.components.blocks.feed_forward import feed_forward
from mmspec.components.halting.act import Act
from mmspec.components.halting.base import policy_of
from mmspec.components.halting.never import Never
from mmspec.components.routers.base import ROW, Row, TokenRouter
from mmspec.components.routers.dense import Dense
from mmspec.ir import Scope, ShapeError, Value, told
from mmspec.ir.dims import scaled
from mmspec.ir.scope import Body
from mmspec.ir.stacks import Readout
from mmspec.spec import Fusion, Halting


class TokenFusion(Fusion):
    """Streams of tokens [B, N_i, D_i]; the first of `from` asks."""

    width: PositiveInt | None = Field(None, description="channels inside; those of the first stream by default")
    depth: PositiveInt = Field(2, description="fusion blocks")
    expansion: PositiveFloat = Field(4.0, description="hidden channels of the feed-forward, as a multiple of the width")
    router: TokenRouter = Field(default_factory=Dense, description="experts in the blocks' feed-forward")
    halting: Halting = Field(default_factory=Never, description="when a sample may stop before the last block")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the blocks' sublayers, in training")

    def streams(self, g: Scope, values: tuple[Value, ...]) -> tuple[Value, ...]:
        """The streams at one width.   Raises ShapeError: fewer than two streams, or one that is not tokens"""
        if len(values) < 2:
            raise ShapeError(
                "a fusion brings streams together, and there is only one", "from", hint="name at least two"
            )
        for value in values:
            if len(value.shape) != 3 or value.dtype != "f32":
                raise ShapeError(f"a fusion works on tokens, and {value.name} is {told(value)}", "from")
        width = self.width or values[0].width
        names: set[str] = set()
        for value in values:  # a node and one stream of another may bear the same name
            name, number = value.name, 2
            while name in names:
                name, number = f"{value.name}_{number}", number + 1
            names.add(name)
            value.named(name)
        return tuple(adapted(g, value, width) for value in values)

    def stack(
        self, g: Scope, body: Body, carried: Any, *shared: Value, class_name: str, readout: Readout | None = None
    ) -> Any:
        """`depth` blocks, with the halting that the spec asks for."""
        if isinstance(self.halting, Act):
            return self.halting.stack(g, "blocks", self.depth, body, carried, *shared, class_name=class_name)
        return g.stack(
            "blocks", self.depth, body, carried, *shared, class_name=class_name,
            halting=policy_of(self.halting, self.depth), readout=readout,
        )  # fmt: skip

    def feed_forward(self, g: Scope, x: Value, row: Row = ROW) -> Value:
        """A feed-forward sublayer with its residual and norm:  norm(x + FF(x))"""
        y = g.dropout("feed_forward_dropout", self.network(g, x, row), self.dropout)
        return g.norm("feed_forward_norm", x + y).named("x")

    def network(self, g: Scope, x: Value, row: Row = ROW) -> Value:
        """The feed-forward alone, or experts, among the tokens of `row`.   [B, N, D] -> [B, N, D]"""
        hidden = max(1, scaled(x.width, self.expansion))
        return feed_forward(g, "feed_forward", x, hidden=hidden, router=self.router, row=row)


class AttentiveFusion(TokenFusion):
    """A fusion whose streams look at one another through attention heads."""

    heads: PositiveInt = Field(4, description="attention heads; they must divide the width")
    attention_router: TokenRouter = Field(
        default_factory=Dense, description="attention sublayers as experts, chosen for each sample by its pooled tokens"
    )

    def look(self, g: Scope, name: str, x: Value, context: Value, how: Heads | None = None) -> Value:
        """Attention from x to context.   [B, N, D], [B, M, D] -> [B, N, D]"""
        return attention(g, name, x, context, how or Heads(self.heads), router=self.attention_router)

    def attend(self, g: Scope, name: str, x: Value, context: Value, how: Heads | None = None) -> Value:
        """An attention sublayer with its residual and norm:  norm(x + Attention(x, context))"""
        seen = self.look(g, name, x, context, how)
        return g.norm(f"{name}_norm", x + g.dropout(f"{name}_dropout", seen, self.dropout)).named("x")


def row_of(streams: tuple[Value, ...]) -> Row:
    """Streams in a row, by their names."""
    return Row(tuple((stream.name, stream.tokens) for stream in streams))


def adapted(g: Scope, value: Value, width: int) -> Value:
    """Tokens at that width: projected, and said so, where they have another."""
    if value.width == width:
        return value
    name = f"adapt_{value.name}"
    g.note(f"{g.path}{name}: a projection from {value.width} to {width} channels was inserted")
    return g.linear(name, value, width).named(value.name)
