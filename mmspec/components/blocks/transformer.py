"""A stack of transformer blocks, and what may be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.attention.base import Attention
from mmspec.components.attention.dense import Full
from mmspec.components.attention.heads import Heads
from mmspec.components.blocks.attention import attention
from mmspec.components.blocks.feed_forward import Activation, feed_forward
from mmspec.components.halting.base import ExitPolicy
from mmspec.components.positions.absolute import Learned
from mmspec.components.positions.base import Layout, Position
from mmspec.components.routers.base import Row, TokenRouter
from mmspec.components.routers.dense import Dense
from mmspec.ir import Init, Scope, ShapeError, Value
from mmspec.ir.dims import scaled
from mmspec.ir.functions import part
from mmspec.ir.scope import Body
from mmspec.spec import Component


def in_proportion(rate: float, depth: int) -> tuple[float, ...]:
    """Stochastic depth of each of `depth` blocks: from never to `rate` (arXiv:1603.09382, eq. 4)."""
    return tuple(round(rate * index / max(1, depth - 1), 6) for index in range(depth))


class TransformerStack(Component):
    """Tokens through `depth` blocks.

    pre        x = x + Attention(norm(x));  x = x + FeedForward(norm(x))       (arXiv:2010.11929, eq. 2 and 3)
    post       x = norm(x + Attention(x));  x = norm(x + FeedForward(x))       (arXiv:1706.03762)
    sandwich   x = x + norm(Attention(norm(x)));  x = x + norm(FeedForward(norm(x)))   (CogView, arXiv:2105.13290)
    """

    width: PositiveInt = Field(192, description="channels of a token")
    depth: PositiveInt = Field(12, description="blocks")
    heads: PositiveInt = Field(3, description="attention heads; they must divide the width")
    kv_heads: PositiveInt | None = Field(None, description="heads of keys and values, shared by groups of query heads")
    head_width: PositiveInt | None = Field(None, description="channels of a head; width over heads by default")
    expansion: PositiveFloat = Field(4.0, description="hidden channels of the feed-forward, as a multiple of the width")
    hidden: PositiveInt | None = Field(
        None, description="the same as a number of channels; it comes before `expansion`"
    )
    activation: Activation = Field("gelu", description="of the feed-forward")
    gated: bool = Field(False, description="a gated feed-forward: with silu SwiGLU, with gelu GEGLU")
    bias: bool = Field(True, description="biases of the linear layers")
    qkv_bias: bool | None = Field(None, description="of queries, keys and values; like `bias` by default")
    key_bias: bool | None = Field(
        None, description="of keys, whose bias no output can show; like `qkv_bias` by default"
    )
    attention: Attention = Field(default_factory=Full, description="which tokens see which")
    attention_scale: PositiveFloat | None = Field(
        None, description="of the scores; 1 / sqrt(head width) by default. Fresh queries make up for it"
    )
    position: Position = Field(default_factory=Learned, description="how tokens are told where they stand")
    norm: Literal["layer", "rms"] = Field("layer", description="layer norm, or RMS norm, which has no mean and no bias")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of the norms")
    norm_order: Literal["pre", "post", "sandwich"] = Field(
        "pre", description="before the sublayers, after the sum, or both"
    )
    embedding_norm: bool = Field(False, description="a norm of the embedded tokens, before the first block")
    final_norm: bool = Field(True, description="a norm after the last block; a post-norm stack seldom has one")
    layer_scale: PositiveFloat | None = Field(
        None,
        description="a trained factor for each channel of what a sublayer adds, from this value on (arXiv:2103.17239)",
    )
    router: TokenRouter = Field(default_factory=Dense, description="experts in the blocks' feed-forward")
    router_every: PositiveInt = Field(1, description="experts in every n-th block only: the n-th, the 2n-th, ...")
    attention_router: TokenRouter = Field(
        default_factory=Dense, description="attention sublayers as experts, chosen for each sample by its pooled tokens"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="after the embedding, attention and feed-forward, in training")
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="stochastic depth: how often the last block is skipped, the earlier ones in proportion",
    )
    taps: tuple[PositiveInt, ...] = Field(
        (), description="blocks, counted from one, whose tokens may be read too: 11 as `<node>.block_11`"
    )

    @property
    def policy(self) -> ExitPolicy | None:
        """When a sample leaves the stack before its end; here never."""
        return None

    def tokens(
        self,
        g: Scope,
        embedded: Value,
        layout: Layout,
        registers: int = 0,
        context: tuple[Value, ...] = (),
        skipped: Sequence[float] = (),
    ) -> Value:
        """Embedded tokens with their positions through the stack, with a context in view where there is one; `registers`, which
        have no position, stand between the class tokens and the rest; `skipped` says how often each block is skipped where the
        stack is part of a deeper one.   [B, N, D] -> [B, N + registers, D]"""
        x = self.position.add(g, embedded, layout).named("x")
        if registers:
            rest = g.prepend("registers", registers, part(x, layout.prefix) if layout.prefix else x)
            x = g.row(part(x, 0, layout.prefix), rest).named("x") if layout.prefix else rest.named("x")
            layout = replace(layout, prefix=layout.prefix + registers)
        if self.embedding_norm:
            x = self.normed(g, "embedding_norm", x).named("x")
        x = g.dropout("dropout", x, self.dropout).named("x")
        x = self.through_blocks(g, x, layout, *context, skipped=skipped)
        return x if self.policy is not None or not self.final_norm else self.normed(g, "norm", x)

    def through_blocks(
        self, g: Scope, x: Value, layout: Layout, *context: Value, skipped: Sequence[float] = ()
    ) -> Value:
        """The blocks alone; with a context, each looks at it between its own attention and its feed-forward."""
        how = self.attention_heads(layout)
        head_width, inside = how.width_of_head(x.width), self.attention.within(layout)
        row = (
            layout.grid is not None and inside.grid is None
        )  # those that see each other stand in a shorter one than all
        group = self.attention.gather(g, x, layout) if row else x
        shared = self.position.shared(g, group, inside, self.heads, head_width, self.attention.is_causal)
        made: dict[tuple[Attention, float, bool], Body] = {}
        bodies: list[Body] = []
        for index, rate in enumerate(skipped or in_proportion(self.drop_path, self.depth)):
            kind = (self.attention.of_block(index), rate, (index + 1) % self.router_every == 0)
            if kind not in made:
                made[kind] = self.block(replace(how, pattern=kind[0]), len(context), *kind[1:])
            bodies.append(made[kind])
        if not self.taps:
            return self.stacked(g, bodies, x, *context, *shared, layout=layout)
        taps = sorted(set(self.taps))
        if taps[-1] > self.depth:
            raise ShapeError(f"there is no block {taps[-1]}: the depth is {self.depth}", "taps")
        last: Value
        last, *tapped = g.stack("blocks", self.depth, bodies, x, *context, *shared, class_name="Block", taps=taps)
        for tap, value in zip(taps, tapped, strict=True):  # without class tokens and registers, which stand nowhere
            inner = part(value, layout.prefix) if layout.prefix else value
            g.taps[f"block_{tap}"] = inner.named(f"block_{tap}")
        return last

    def stacked(self, g: Scope, bodies: Sequence[Body], x: Value, *shared: Value, layout: Layout) -> Value:
        """The blocks in a row.   [B, N, D] -> [B, N, D]"""
        y: Value = g.stack("blocks", self.depth, bodies, x, *shared, class_name="Block")
        return y

    def attention_heads(self, layout: Layout) -> Heads:
        qkv_bias = self.bias if self.qkv_bias is None else self.qkv_bias
        return Heads(
            self.heads, self.kv_heads, self.head_width, qkv_bias, self.key_bias, self.bias, self.attention_scale,
            self.attention, self.position, layout,
        )  # fmt: skip

    def block(self, how: Heads, contexts: int, drop_path: float, routed: bool) -> Body:
        """The body of a block that may be skipped with probability `drop_path` and has experts if `routed`."""

        def body(g: Scope, x: Value, *handed: Value) -> Value:
            context, shared = handed[:contexts], handed[contexts:]

            def self_attention(g: Scope, normed: Value) -> Value:
                return attention(g, "attention", normed, normed, how, *shared, router=self.attention_router)

            def cross_attention(g: Scope, normed: Value) -> Value:
                return attention(g, "cross_attention", normed, context[0], how, router=self.attention_router)

            x = self.sublayer(g, "1", x, self_attention, drop_path)
            if context:
                x = self.sublayer(g, "_cross", x, cross_attention, drop_path)
            return self.sublayer(g, "2", x, self.network(routed, how.layout), drop_path)

        return body

    def network(self, routed: bool, layout: Layout) -> Body:
        """The feed-forward, with the router where the block has experts."""

        def network(g: Scope, x: Value) -> Value:
            return feed_forward(
                g, "feed_forward", x, hidden=self.hidden or max(1, scaled(x.width, self.expansion)),
                router=self.router if routed else Dense(), dropout=self.dropout, activation=self.activation,
                gated=self.gated, bias=self.bias, row=Row(layout.streams, self.attention.is_causal),
            )  # fmt: skip

        return network

    def sublayer(self, g: Scope, name: str, x: Value, branch: Body, drop_path: float = 0.0) -> Value:
        """x with what a branch adds, in the order of norms that the spec asks for. Modules end in `name`: norm1, dropout1."""
        y = branch(g, x if self.norm_order == "post" else self.normed(g, f"norm{name}", x))
        assert isinstance(y, Value)
        if self.norm_order == "sandwich":
            y = self.normed(g, f"norm{name}_after", y)
        if self.layer_scale:
            y = y * g.parameter(f"scale{name}", y.width, init=Init("constant", self.layer_scale))
        x = x + g.drop_path(f"drop_path{name}", g.dropout(f"dropout{name}", y, self.dropout), drop_path)
        return self.normed(g, f"norm{name}", x).named("x") if self.norm_order == "post" else x

    def normed(self, g: Scope, name: str, x: Value) -> Value:
        return g.norm(name, x, self.norm_eps, self.norm)
