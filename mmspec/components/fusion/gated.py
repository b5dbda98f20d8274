"""Gated fusion."""

from __future__ import annotations

from typing import Literal

from mmspec.components.fusion.selecting import SelectingFusion
from mmspec.ir import Scope, Value
from mmspec.ir.functions import concat, sigmoid


class GatedFusion(SelectingFusion):
    """A gate, learned from both, between what a stream sees in itself and in the others.

        g = sigmoid(W [Self(X); Cross(X, C)])
        Y = g * Cross(X, C) + (1 - g) * Self(X)
        X' = X + LN(Y),   X'' = X' + FeedForward(LN(X'))

    X is the first stream, C the tokens of all others in a row.

    Shapes   [B, N, D], [B, M, E], ... -> [B, N, width]
    Raises   ShapeError: fewer than two streams, one that is not tokens, heads that do not divide the width
    Source   Gated Multimodal Units, arXiv:1702.01992, eq. 5 (the gate of two sources, z and 1 - z)
    Differs  the sources are self- and cross-attention over tokens, not one projected vector for each modality

        joint: {type: gated, from: [image, text], depth: 2}
    """

    type: Literal["gated"] = "gated"

    def emit(self, g: Scope, *values: Value) -> Value:
        x, *others = self.streams(g, values)
        (context,) = self.selected(g, x, others[0] if len(others) == 1 else g.row(*others).named("context"))
        fused: Value = self.stack(g, self.block, x, context, class_name="GatedBlock")
        return fused

    def block(self, g: Scope, x: Value, context: Value) -> Value:
        own = self.look(g, "self_attention", x, x).named("own")
        other = self.look(g, "cross_attention", x, context).named("other")
        gate = sigmoid(g.linear("gate", concat(own, other), x.width)).named("gate")
        mixed = g.norm("norm1", gate * other + (1 - gate) * own)
        x = x + g.dropout("dropout1", mixed, self.dropout)
        mixed = self.network(g, g.norm("norm2", x))
        return x + g.dropout("dropout2", mixed, self.dropout)
