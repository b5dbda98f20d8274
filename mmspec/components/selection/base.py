"""What a selection decides: which tokens of a context a stream looks at."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt

from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import pool, rearrange
from mmspec.spec import Component


class Selection(Component):
    """Which tokens of a context are looked at."""

    role: ClassVar[str] = "selection"

    def select(self, g: Scope, name: str, x: Value, context: Value) -> Value:
        """The tokens of `context` that x is to look at, by the module `name`.   [B, N, D], [B, M, D] -> [B, K, D]"""
        return context


class SelectK(Selection):
    """The k tokens of a context with the largest scores, in their order; absent tokens never are among them."""

    k: PositiveInt = Field(8, description="tokens that are looked at")

    def select(self, g: Scope, name: str, x: Value, context: Value) -> Value:
        if self.k > g.limit(context.tokens):
            message = f"{self.k} tokens cannot be selected from the {g.limit(context.tokens)} of {context.name}"
            raise ShapeError(message, "selection.k")

        def body(g: Scope, x: Value, context: Value) -> Value:
            asking = rearrange(pool(x, "mean"), "b (n d) -> b n d", n=1).named("asking")
            scores = self.scores(g, asking, context).named("scores")
            given = () if context.mask is None else (context.mask,)
            numbers = g.emit("best", rearrange(scores, "b m n -> b (m n)"), *given, name="best", k=self.k)
            chosen = g.emit("picked", context, numbers.named("numbers")).named("chosen")
            if context.mask is not None or not isinstance(context.tokens, int):
                chosen.mask = g.emit("are_picked", numbers, context).named("chosen_mask")
            return self.weighed(g, chosen, scores, numbers)

        arguments = {"width": context.width, "k": self.k}
        chosen: Value = g.call(name, "Selection", body, x, context, arguments=arguments)
        return chosen.named(context.name)

    def scores(self, g: Scope, asking: Value, context: Value) -> Value:
        """How much each token of the context matters to who asks.   [B, 1, D], [B, M, D] -> [B, M, 1]"""
        raise NotImplementedError

    def weighed(self, g: Scope, chosen: Value, scores: Value, numbers: Value) -> Value:
        """What is made of those that were chosen.   [B, K, D], [B, M, 1], i64[B, K] -> [B, K, D]"""
        return chosen
