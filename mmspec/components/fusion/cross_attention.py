"""Cross-attention fusion."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Literal

from pydantic import Field

from mmspec.components.fusion.selecting import SelectingFusion
from mmspec.ir import Scope, Value


class CrossAttentionFusion(SelectingFusion):
    """The first stream looks at itself, then at the others, as a transformer decoder does.

        X = LN(X + Self(X))
        sequential   X = LN(X + Cross_i(X, C_i)), one stream after the other
        parallel     X = LN(X + sum_i Cross_i(X, C_i)), all at once
        X = LN(X + FeedForward(X))

    Shapes   [B, N, D], [B, M_i, D_i], ... -> [B, N, width]
    Raises   ShapeError: fewer than two streams, one that is not tokens, heads that do not divide the width
    Source   Input Combination Strategies for Multi-Source Transformer Decoder, arXiv:1811.04716, sec. 3 (serial, parallel)

        joint: {type: cross_attention, from: [image, text], order: parallel, depth: 2}
    """

    type: Literal["cross_attention"] = "cross_attention"
    order: Literal["sequential", "parallel"] = Field(
        "sequential",
        description="the other streams one after the other, or all at once (the same for one other stream)",
    )

    def emit(self, g: Scope, *values: Value) -> Value:
        x, *contexts = self.streams(g, values)
        others = self.selected(g, x, *contexts)
        fused: Value = self.stack(g, self.block, x, *others, class_name="CrossAttentionBlock")
        return fused

    def block(self, g: Scope, x: Value, *others: Value) -> Value:
        x = self.attend(g, "self_attention", x, x)
        if self.order == "sequential":
            for other in others:
                x = self.attend(g, f"{other.name}_attention", x, other)
        else:
            seen = reduce(add, [self.look(g, f"{other.name}_attention", x, other) for other in others])
            x = g.norm("cross_norm", x + g.dropout("cross_dropout", seen, self.dropout))
        return self.feed_forward(g, x)
