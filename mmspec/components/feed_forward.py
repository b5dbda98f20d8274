"""The feed-forward network of a block, alone or as experts behind a router.

y = W_2 gelu(W_1 x)          (Vaswani et al. 2017, arXiv:1706.03762, eq. 2, with GELU)
"""

from __future__ import annotations

from mmspec.components.routers.base import TokenRouter
from mmspec.ir import Scope, Value
from mmspec.ir.functions import gelu


def feed_forward(
    g: Scope, name: str, x: Value, *, expansion: float, router: TokenRouter, dropout: float = 0.0
) -> Value:
    """[..., D] -> [..., D] over `expansion * D` hidden channels. A router that balances its experts adds its loss to the scope."""
    hidden = max(1, round(expansion * x.width))

    def network(g: Scope, x: Value) -> Value:
        inner = g.dropout("dropout", gelu(g.linear("up", x, hidden)), dropout)
        return g.linear("down", inner, x.width)

    return router.route(g, name, x, network, hidden)
