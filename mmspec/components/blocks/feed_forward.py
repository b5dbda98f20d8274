"""The feed-forward network of a block, alone or as experts behind a router.

y = W_2 f(W_1 x)               (Vaswani et al. 2017, arXiv:1706.03762, eq. 2, f an activation)
y = W_2 (f(W_g x) * W_1 x)     gated (GLU Variants Improve Transformer, arXiv:2002.05202, eq. 6)
"""

from __future__ import annotations

from typing import Literal

from mmspec.components.routers.base import ROW, Expert, Row, TokenRouter
from mmspec.ir import Scope, Value
from mmspec.ir.functions import gelu, relu, sigmoid, silu

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"]


def activate(x: Value, activation: Activation) -> Value:
    """`gelu` is exact, `gelu_tanh` its usual approximation, `quick_gelu` x sigmoid(1.702 x) (CLIP), `silu` x sigmoid(x)."""
    match activation:
        case "gelu":
            return gelu(x)
        case "gelu_tanh":
            return gelu(x, tanh=True)
        case "quick_gelu":
            return x * sigmoid(x * 1.702)
        case "relu":
            return relu(x)
        case "silu":
            return silu(x)


def feed_forward(
    g: Scope,
    name: str,
    x: Value,
    *,
    hidden: int,
    router: TokenRouter,
    dropout: float = 0.0,
    activation: Activation = "gelu",
    gated: bool = False,
    bias: bool = True,
    row: Row = ROW,
) -> Value:
    """[..., D] -> [..., D] over `hidden` channels, among the tokens of `row`. A router adds its losses to the scope."""

    def network(g: Scope, x: Value) -> Value:
        inner = activate(g.linear("gate" if gated else "up", x, hidden, bias), activation)
        if gated:
            inner = inner * g.linear("up", x, hidden, bias)
        return g.linear("down", g.dropout("dropout", inner, dropout), x.width, bias)

    arguments = {"width": x.width, "hidden": hidden}
    return router.route(g, name, x, Expert(network, "FeedForward", arguments), row)
