"""The attention sublayer: projections to heads, positions, a pattern, and the projection back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mmspec.components.attention.base import Attention
from mmspec.components.attention.dense import Full
from mmspec.components.positions.absolute import NoPosition
from mmspec.components.positions.base import SEQUENCE, Layout, Position
from mmspec.ir import Init, Scope, ShapeError, Value
from mmspec.ir.functions import pool, rearrange, softmax
from mmspec.ir.layers import XAVIER


@dataclass(frozen=True)
class Heads:
    """How an attention sublayer is made.

    heads, kv_heads   of queries; of keys and values, shared by groups of query heads (None: as many as of queries)
    head_width        channels of a head; the width over the heads by default
    bias, key_bias    of the four projections; of the key's, None: as the others
    output_bias       of the projection back, None: as the others
    scale             of the scores; None: 1 / sqrt(head width)
    asking            whose attention says how important each token is: the `first` token's, or that of the `mean` query
    heard             the first of what is shared says how much each key counts: at inference `some` are left out, or `all` count
    chosen            how many heads are computed for a sample: those that a policy favours; None: all
    """

    heads: int
    kv_heads: int | None = None
    head_width: int | None = None
    bias: bool = True
    key_bias: bool | None = None
    output_bias: bool | None = None
    scale: float | None = None
    pattern: Attention = field(default_factory=Full)
    position: Position = field(default_factory=NoPosition)
    layout: Layout = SEQUENCE
    asking: Literal["first", "mean"] | None = None
    heard: Literal["some", "all"] | None = None
    chosen: int | None = None

    def width_of_head(self, width: int) -> int:
        """Raises ShapeError: heads do not divide the width, or key heads the query heads"""
        if self.head_width is None and width % self.heads:
            hint = _divisors_near(width, self.heads)
            raise ShapeError(f"{self.heads} heads do not divide the width {width}", "heads", hint=hint)
        if self.kv_heads and self.heads % self.kv_heads:
            hint = _divisors_near(self.heads, self.kv_heads)
            raise ShapeError(f"{self.kv_heads} key heads do not divide {self.heads} query heads", "kv_heads", hint=hint)
        return self.head_width or width // self.heads

    def init_of_queries(self, width: int) -> Init:
        """How the weights of queries begin, of heads of that width: scores that are scaled by anything else than 1 / sqrt(width)
        begin as far apart as those that are. T5, whose scores are not scaled, begins so (arXiv:1910.10683)."""
        return XAVIER if self.scale is None else replace(XAVIER, scale=1 / (self.scale * math.sqrt(width)))


def attend(g: Scope, name: str, x: Value, context: Value, how: Heads, *shared: Value) -> Value:
    """Attention from x to context as the module `name`; self-attention where they are the same value. `shared` is what
    `how.position` made for the stack.   [B, N, D], [B, M, E] -> [B, N, D].   Raises ShapeError"""
    if how.chosen is not None and x is context:
        return attend_with_chosen(g, name, x, how)
    result = _attended(g, name, x, context, how, *shared)
    assert isinstance(result, Value)
    return result


def attend_and_weigh(g: Scope, name: str, x: Value, how: Heads) -> tuple[Value, Value]:
    """Self-attention, and how important each token is to whom `how.asking` names.   [B, N, D] -> [B, N, D], [B, N]"""
    y, importance = _attended(g, name, x, x, how)
    return y, importance


def attend_with_chosen(g: Scope, name: str, x: Value, how: Heads) -> Value:
    """Self-attention with the heads that a policy chooses for each sample.   [B, N, D] -> [B, N, D]"""
    width, heads = how.width_of_head(x.width), how.heads
    arguments = {"width": x.width, "heads": heads, "k": how.chosen}

    def body(g: Scope, x: Value) -> Value:
        chances = softmax(g.linear("policy", pool(x, "mean"), heads)).named("chances")
        numbers = g.emit("best", chances, name="choice", k=how.chosen).named("numbers")
        biases = (how.bias, how.bias if how.key_bias is None else how.key_bias, how.bias)
        inits = (how.init_of_queries(width), XAVIER, XAVIER)
        query, key, value = (
            g.emit("head_input", x, numbers, name=name, heads=heads, width=width, bias=bias, init=init)
            for name, bias, init in zip(("query", "key", "value"), biases, inits, strict=True)
        )
        mixed = how.pattern.mix(g, query, key, value, how.layout, x.mask, None, how.scale)
        weights = g.emit("picked", rearrange(chances * heads, "b (h o) -> b h o", o=1), numbers).named("weights")
        mixed = mixed * rearrange(weights, "b (k o) p -> b k o p", o=1)
        bias = how.bias if how.output_bias is None else how.output_bias
        y = g.emit("head_output", mixed, numbers, name="output", heads=heads, width=x.width, bias=bias, init=XAVIER)
        y.mask = x.mask
        return y

    doc = f"{how.chosen} of {heads} heads."
    result = g.call(name, "ChosenHeads", body, x, arguments=arguments, doc=doc)
    assert isinstance(result, Value)
    return result


def _attended(g: Scope, name: str, x: Value, context: Value, how: Heads, *shared: Value) -> Any:
    width = how.width_of_head(x.width)
    kv_heads = how.kv_heads or how.heads
    own = x is context

    def body(g: Scope, x: Value, context: Value, *shared: Value) -> Value | tuple[Value, Value]:
        pattern, layout, mask = how.pattern if own else Full(), how.layout, x.mask
        if own:
            x, layout = pattern.gather(g, x, layout), pattern.within(layout)
        seen = pattern.context(g, x, layout) if own else context
        init = how.init_of_queries(width)
        query = g.split(g.linear("query", x, how.heads * width, how.bias, init), how.heads).named("query")
        key_bias = how.bias if how.key_bias is None else how.key_bias
        key = g.split(g.linear("key", seen, kv_heads * width, key_bias), kv_heads).named("key")
        value = g.split(g.linear("value", seen, kv_heads * width, how.bias), kv_heads).named("value")
        bias = None
        if own:
            query = how.position.turned(g, query, shared, layout).named("query")
            key = how.position.turned(g, key, shared, layout).named("key")
            bias = how.position.bias(g, x, seen, shared, layout, how.heads)
        if how.heard is None:
            seeing = pattern.mix(g, query, key, value, how.layout, seen.mask, bias, how.scale)
        else:
            said = {"masked": how.heard == "some", "scale": how.scale}
            seeing = g.emit("say_attention", query, key, value, shared[0], name="mix", **said)
        mixed = g.emit("merge_heads", seeing)
        mixed.mask = mask
        y = g.linear("output", mixed, x.width, how.bias if how.output_bias is None else how.output_bias)
        y = pattern.scatter(g, y, how.layout) if own else y
        if how.asking is None:
            return y
        given = () if seen.mask is None else (seen.mask,)
        return y.named("y"), g.emit("attended", query, key, *given, asking=how.asking, scale=how.scale)

    kind = ("Masked" if context.mask is not None else "") + (how.pattern.title if own else "CrossAttention")
    arguments = {"width": x.width, "context_width": context.width, "heads": how.heads}
    if kv_heads != how.heads:
        arguments["kv_heads"] = kv_heads
    if how.head_width is not None:
        arguments["head_width"] = width
    return g.call(name, kind, body, x, context, *shared, arguments=arguments, doc=f"{how.heads} heads.")


def _divisors_near(width: int, heads: int) -> str:
    """A hint for heads that do not divide a width."""
    fitting = [d for d in range(1, min(width, 1024) + 1) if width % d == 0]
    below = [d for d in fitting if d < heads][-2:]
    above = [d for d in fitting if d > heads][:2]
    return f"{width} can be divided by " + ", ".join(map(str, (*below, *above)))
