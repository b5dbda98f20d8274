"""What a router does: it puts one network, or several and a choice among them, in the place of a feed-forward."""

from __future__ import annotations

from mmspec.ir import Scope, Value
from mmspec.ir.scope import Body
from mmspec.spec import Router


class TokenRouter(Router):
    """Which experts a token goes to."""

    def route(self, g: Scope, name: str, x: Value, network: Body, hidden: int) -> Value:
        """`network(g, x)` as the module `name` of `g`, or copies of it behind a choice.   [..., D] -> [..., D]"""
        raise NotImplementedError
