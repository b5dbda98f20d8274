"""A discrete route that is learned as such."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from mmspec.components.routers.base import Row
from mmspec.components.routers.scored import BalancedRouter, Decision, SeesModalities, chances
from mmspec.ir import Scope, ShapeError, Value, symbol


class Learned(BalancedRouter, SeesModalities):
    r"""Each token takes one route, unweighed: y = expert_e(x), e = argmax W x at inference.

        gumbel       p = softmax((W x + n) / temperature), n Gumbel noise; e = argmax p is a sample of softmax(W x). Gradients are
                     those of sum_e p_e * expert_e(x): training computes every expert
        reinforce    e is drawn from p = softmax(W x), and training computes it alone; to the loss is added the mean over samples of
                     (loss - mean loss of the others) * sum of log p_e over the sample's tokens that are present

    Shapes   [B, N, D] -> [B, N, D]
    Raises   ShapeError: reinforce where tokens are no whole samples
             SpecError: reinforce without an objective that says what each sample costs
    Source   gumbel: Categorical Reparameterization with Gumbel-Softmax, arXiv:1611.01144, eq. 1 to 3 and sec. 2.2
             (straight-through); reinforce: Williams 1992, sec. 3, with the others' mean as the baseline
    Differs  the temperature is not annealed; FLOPs are priced as inference computes

        router: {type: learned, experts: 4, temperature: 1.0}
    """

    type: Literal["learned"] = "learned"
    method: Literal["gumbel", "reinforce"] = Field("gumbel", description="how the router learns from a choice")
    temperature: PositiveFloat = Field(
        1.0, description="of the Gumbel-softmax: the lower, the nearer to the choice itself"
    )

    @property
    def said(self) -> str:
        return f"Each token takes 1 of {self.experts} routes."

    def check(self, g: Scope, x: Value, row: Row) -> None:
        if self.method == "reinforce" and x.shape[0] != symbol("B"):
            message = "what a sample costs cannot be told of tokens here, which are no whole samples"
            raise ShapeError(message, "router.method", hint="method: gumbel")

    def decide(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        if self.method == "reinforce":
            return self.drawn(g, logits, mask)
        p = chances(g.emit("gumbel", logits, name="gumbel", temperature=self.temperature).named("sampled"))
        choice = g.emit("decide", p, name="decide").named("choice")
        weights = g.emit("straight_through", p, choice).named("weights")
        if self.balance or self.importance:
            taken = g.emit("choose", p, name="taken", k=1).named("taken")
            self.balanced(g, p, taken, g.emit("weights_of", p, taken, normalise=False, nobody=False), mask)
        return Decision(choice, weights)

    def drawn(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        p = chances(logits)
        choice = g.emit("draw", p, name="draw").named("choice")
        self.balanced(g, p, choice, g.emit("weights_of", p, choice, normalise=False, nobody=False), mask)
        g.loss("score", p, choice, mask)
        return Decision(choice, g.emit("equal_weights", p, choice).named("weights"))
