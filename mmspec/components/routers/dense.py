"""One network for every token."""

from __future__ import annotations

from typing import Literal

from mmspec.components.routers.base import Expert, Row, TokenRouter
from mmspec.ir import Scope, ShapeError, Value


class Dense(TokenRouter):
    """No routing: one feed-forward for every token."""

    type: Literal["dense"] = "dense"

    def route(self, g: Scope, name: str, x: Value, expert: Expert, row: Row) -> Value:
        y: Value = g.call(name, expert.class_name, expert.body, x, arguments=expert.arguments)
        return y

    def route_samples(self, g: Scope, name: str, expert: Expert, *values: Value, seen: int = 1) -> Value:
        if expert.kinds:
            raise ShapeError(
                "there are several branches, and nothing chooses among them", "router", hint="router: top_k"
            )
        y: Value = g.call(name, expert.class_name, expert.body, *values, arguments=expert.arguments)
        return y
