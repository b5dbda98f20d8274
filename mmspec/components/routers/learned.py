"""A discrete route that is learned as such."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from mmspec.components.routers.scored import BalancedRouter, Decision, SeesModalities, chances
from mmspec.ir import Scope, Value


class Learned(BalancedRouter, SeesModalities):
    r"""Each token takes one route, unweighed; the router learns through the choice by straight-through Gumbel-softmax.

        p = softmax((W x + n) / temperature)    in training, n Gumbel noise; e = argmax p is then a sample of softmax(W x)
        y = expert_e(x)                         forward
        y = sum_e p_e * expert_e(x)             what gradients are of: training computes every expert, inference the likeliest alone

    Shapes   [B, N, D] -> [B, N, D]
    Source   Categorical Reparameterization with Gumbel-Softmax, arXiv:1611.01144, eq. 1 to 3 and sec. 2.2 (straight-through)
    Differs  the temperature is not annealed; FLOPs are priced as inference computes

        router: {type: learned, experts: 4, temperature: 1.0}
    """

    type: Literal["learned"] = "learned"
    temperature: PositiveFloat = Field(
        1.0, description="of the Gumbel-softmax: the lower, the nearer to the choice itself"
    )

    @property
    def said(self) -> str:
        return f"Each token takes 1 of {self.experts} routes."

    def decide(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        p = chances(g.emit("gumbel", logits, name="gumbel", temperature=self.temperature).named("sampled"))
        choice = g.emit("decide", p, name="decide").named("choice")
        weights = g.emit("straight_through", p, choice).named("weights")
        if self.balance or self.importance:
            taken = g.emit("choose", p, name="taken", k=1).named("taken")
            self.balanced(g, p, taken, g.emit("weights_of", p, taken, normalise=False, nobody=False), mask)
        return Decision(choice, weights)
