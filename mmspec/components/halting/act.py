"""Adaptive computation time."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat

from mmspec.ir import Init, Scope, ShapeError, Value
from mmspec.ir.functions import pool, rearrange, sigmoid
from mmspec.ir.scope import Body
from mmspec.spec import Halting


class Act(Halting):
    r"""The stack becomes a loop: one block, whose weights serve every step, runs as often as a sample needs, `depth` times at most.

        x_n = block(x_{n-1}),  h_n = sigmoid(w . x_n + b)                of each token, or of the mean of a sample's
        N   = the first n with h_1 + ... + h_n > 1 - epsilon, or depth
        y   = h_1 x_1 + ... + h_{N-1} x_{N-1} + R x_N,   R = 1 - (h_1 + ... + h_{N-1})
        loss += ponder * mean of N + R

    A token that has halted goes on being seen, and being updated, while others of its sample have not; its own answer is fixed. A
    sample stops when all its tokens have.

    Raises   ShapeError: several streams; blocks that differ; nothing that is tokens
    Source   Adaptive Computation Time, arXiv:1603.08983, eq. 5 to 13; Universal Transformers, arXiv:1807.03819, sec. 2.2

        halting: {type: act, ponder: 0.01}
    """

    type: Literal["act"] = "act"
    per: Literal["token", "sample"] = Field(
        "token", description="what halts: each token by itself, or the sample as a whole"
    )
    epsilon: float = Field(0.01, gt=0, lt=1, description="what may be left of 1 when something halts")
    ponder: NonNegativeFloat = Field(0.01, description="weight of the number of steps in what training minimises")
    halting_bias: float = Field(1.0, description="b at the beginning: above 0 a step is likely to be the last")

    def stack(self, g: Scope, name: str, depth: int, bodies: Any, x: Any, *shared: Value, class_name: str) -> Value:
        """The loop in a stack's place.   [B, N, D] -> [B, N, D]"""
        if not isinstance(x, Value):
            message = "several streams would halt at different steps, and a loop has one state"
            raise ShapeError(message, "halting", hint="streams: single, or a policy with exits")
        kinds = list(dict.fromkeys([bodies] if callable(bodies) else bodies))
        if len(kinds) > 1:
            message = "a loop repeats one block, and these blocks differ"
            raise ShapeError(message, "halting", hint="drop_path, router_every and shifting windows make blocks differ")
        if depth == 1:
            raise ShapeError("a loop of one step has nothing to decide", "halting", hint="depth at least 2")
        return g.loop(
            name, depth, self.step(kinds[0]), x, *shared, class_name=class_name, epsilon=self.epsilon, ponder=self.ponder,
            by_token=self.per == "token",
        )  # fmt: skip

    def step(self, body: Body) -> Body:
        """The block, and how likely each token is to halt after it."""

        def step(g: Scope, x: Value, *shared: Value) -> tuple[Value, Value]:
            after = body(g, x, *shared)
            assert isinstance(after, Value)
            after.mask = after.mask or x.mask
            seen = after if self.per == "token" else pool(after, "mean")
            logit = g.linear("halting", seen, 1, bias=False)
            logit = logit + g.parameter("halting_bias", 1, init=Init("constant", self.halting_bias))
            chance = sigmoid(rearrange(logit, "b n c -> b (n c)") if self.per == "token" else logit)
            return after, chance.named("chance")

        return step
