"""Tokens in a row."""

from __future__ import annotations

from typing import Literal

from mmspec.components.fusion.base import TokenFusion, row_of
from mmspec.ir import Scope, Value


class ConcatFusion(TokenFusion):
    """All tokens in a row, then feed-forward layers on each. Tokens do not see one another here: what is joined is joined
    where they are pooled.

        X = [X_1; X_2; ...] along the tokens,   X' = LN(X + FeedForward(X)), `depth` times

    Shapes   [B, N_i, D_i], ... -> [B, sum N_i, width]
    Raises   ShapeError: fewer than two streams, one that is not tokens
    Source   Multimodal Machine Learning, Baltrusaitis et al. 2019, arXiv:1705.09406, sec. 6.1 (early fusion)

        joint: {type: concat, from: [image, text], depth: 1}
    """

    type: Literal["concat"] = "concat"

    def emit(self, g: Scope, *values: Value) -> Value:
        streams = self.streams(g, values)

        def block(g: Scope, x: Value) -> Value:
            return self.feed_forward(g, x, row_of(streams))

        fused: Value = self.stack(g, block, g.row(*streams).named("x"), class_name="ConcatBlock")
        return fused
