"""The attention sublayer of a block, alone or as experts behind a router of samples."""

from __future__ import annotations

from mmspec.components.attention.heads import Heads, attend
from mmspec.components.routers.base import Expert, TokenRouter
from mmspec.components.routers.dense import Dense
from mmspec.ir import Scope, ShapeError, Value


def attention(g: Scope, name: str, x: Value, context: Value, how: Heads, *shared: Value, router: TokenRouter) -> Value:
    """Attention from x to context as the module `name`, or copies of it, of which each sample meets those that its router favours.
    [B, N, D], [B, M, E] -> [B, N, D].   Raises ShapeError: heads do not fit; a router that cannot send samples, or must not look
    at all of their tokens"""
    if isinstance(router, Dense):
        return attend(g, name, x, context, how, *shared)
    if how.pattern.is_causal and router.sees_tokens:
        message = "a route by the whole sequence tells a token of later ones, which must not be seen here"
        raise ShapeError(message, "attention_router", hint="a router of type task looks at no token")
    own = x is context

    def one(g: Scope, x: Value, *others: Value) -> Value:
        return attend(g, "attention", x, x if own else others[0], how, *others[0 if own else 1 :])

    try:
        return router.route_samples(g, name, Expert(one, "Attention", {}), x, *(() if own else (context,)), *shared)
    except ShapeError as error:
        if error.field.partition(".")[0] == "router":
            error.field = f"attention_{error.field}"
        raise
