"""Every expert computes every token."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.routers.scored import Decision, DiverseRouter, SeesModalities, chances
from mmspec.ir import Scope, Value


class Soft(DiverseRouter, SeesModalities):
    r"""Every expert answers every token, weighed by the router's probabilities.

        y = sum_e softmax(W x)_e * expert_e(x)

    The importance loss keeps all of them in use: CV(I)^2, I_e the sum of e's probabilities over the tokens that are present.

    Shapes   [B, N, D] -> [B, N, D]
    Source   Adaptive Mixtures of Local Experts, Jacobs et al. 1991, eq. 1.1; importance: arXiv:1701.06538, eq. 6 and 7
    Differs  nothing is saved: it is what sparse routers are compared with

        router: {type: soft, experts: 4}
    """

    type: Literal["soft"] = "soft"
    importance: NonNegativeFloat = Field(
        0.0, description="weight of the loss that keeps all experts in use, by the variance of what they weigh"
    )

    def decide(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        p = chances(logits)
        choice = g.emit("everyone", p).named("choice")
        if self.importance:
            g.loss("importance", p, choice, mask, experts=self.experts, weight=self.importance)
        return Decision(choice, p)
