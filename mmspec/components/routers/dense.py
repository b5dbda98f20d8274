"""One network for every token."""

from __future__ import annotations

from typing import Literal

from mmspec.components.routers.base import TokenRouter
from mmspec.ir import Scope, Value
from mmspec.ir.scope import Body


class Dense(TokenRouter):
    """No routing: one feed-forward for every token."""

    type: Literal["dense"] = "dense"

    def route(self, g: Scope, name: str, x: Value, network: Body, hidden: int) -> Value:
        y: Value = g.call(name, "FeedForward", network, x, arguments={"width": x.width, "hidden": hidden})
        return y
