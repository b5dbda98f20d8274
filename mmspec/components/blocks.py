"""The transformer block that encoders stack."""

from __future__ import annotations

from mmspec.components.feed_forward import feed_forward
from mmspec.components.routers.base import TokenRouter
from mmspec.ir import Scope, Value


def pre_norm_block(
    g: Scope, x: Value, *, heads: int, expansion: float, router: TokenRouter, dropout: float, eps: float
) -> Value:
    """x + Attention(LN(x)), then x + FeedForward(LN(x)).   [B, N, D] -> [B, N, D]

    Source   An Image Is Worth 16x16 Words, arXiv:2010.11929, eq. 2 and 3
    """
    normed = g.norm("norm1", x, eps)
    x = x + g.dropout("dropout1", g.attention("attention", normed, normed, heads), dropout)
    mixed = feed_forward(g, "feed_forward", g.norm("norm2", x, eps), expansion=expansion, router=router)
    return x + g.dropout("dropout2", mixed, dropout)
