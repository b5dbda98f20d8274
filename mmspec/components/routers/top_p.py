"""As many experts as a token needs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmspec.components.routers.scored import BalancedRouter, Decision, DiverseRouter, SeesModalities, chances
from mmspec.ir import Scope, Value


class TopP(BalancedRouter, DiverseRouter, SeesModalities):
    r"""Each token is sent to its likeliest experts until these are likelier than `p` together: to few where the router is sure, to
    more where it is not.

        p_1 >= p_2 >= ... = softmax(W x), sorted
        y = sum_{i <= t} p_i / (sum_{i <= t} p_i) * expert_i(x),   t the first with p_1 + ... + p_t > p

    As an `attention_router` whose experts have one head each it makes the number of heads adapt to the sample.

    Priced as if every token met all experts, which is the most; what is met on average follows from loads that are stated or
    measured.

    Shapes   [B, N, D] -> [B, N, D]
    Source   Harder Tasks Need More Experts: Dynamic Routing in MoE Models, arXiv:2403.07652, sec. 3.2
    Differs  weights are normalised over the chosen; balance by loads and probabilities, as `top_k` does, and no loss of entropy

        router: {type: top_p, experts: 4, p: 0.6}
    """

    type: Literal["top_p"] = "top_p"
    p: float = Field(0.6, gt=0, lt=1, description="the probability that the chosen experts exceed together")

    @property
    def said(self) -> str:
        return f"Each token meets as many of {self.experts} experts as are likelier than {self.p:g} together."

    def decide(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        chosen_from = chances(logits)
        choice = g.emit("cover", chosen_from, name="cover", least=self.p).named("choice")
        weights = g.emit("weights_of", chosen_from, choice, normalise=True, nobody=True).named("weights")
        self.balanced(g, chosen_from, choice, weights, mask)
        room = logits.tokens if len(logits.shape) == 3 else 1
        return Decision(choice, weights, room)
