"""The other way round: experts choose tokens."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from mmspec.components.routers.base import Row
from mmspec.components.routers.capacity import as_fraction
from mmspec.components.routers.scored import Decision, DiverseRouter, SeesModalities, chances
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.dims import blocks, product
from mmspec.spec import FieldError


class ExpertChoice(DiverseRouter, SeesModalities):
    r"""Each expert takes the tokens of a sequence that its probability is largest for; a token may meet several, or none.

        p = softmax(W x)                              over experts, in float32
        c = ceil(capacity_factor * n / experts)       n the tokens that are present
        y = sum_{e: x among the c largest p_e} p_e * expert_e(x)

    All experts are equally busy by construction, and no balance loss is needed. Which tokens are taken depends on the whole
    sequence, so that it cannot stand where a token must not see later ones.

    Shapes   [B, N, D] -> [B, N, D]
    Raises   FieldError: a capacity_factor above the number of experts
             ShapeError: a causal stack
    Source   Mixture-of-Experts with Expert Choice Routing, arXiv:2202.09368, sec. 3.2, eq. 1 to 3
    Differs  the paper chooses among the tokens of a batch; here among those of a sequence, so that a text is answered alone as it
             is in company; FLOPs are priced as if every token were present

        router: {type: expert_choice, experts: 8, capacity_factor: 2.0}
    """

    type: Literal["expert_choice"] = "expert_choice"
    only_tokens: ClassVar[bool] = True
    capacity_factor: PositiveFloat = Field(2.0, description="experts that a token meets on average")

    @model_validator(mode="after")
    def _no_more_than_all(self) -> Self:
        if self.capacity_factor > self.experts:
            message = f"a token cannot meet {self.capacity_factor:g} of {self.experts} experts"
            raise FieldError("capacity_factor", message)
        return self

    @property
    def said(self) -> str:
        return (
            f"Each of {self.experts} experts takes its likeliest tokens, {self.capacity_factor:g} times the even share."
        )

    def check(self, g: Scope, x: Value, row: Row) -> None:
        if row.causal:
            message = (
                "experts that choose among the whole sequence tell a token of later ones, which must not be seen here"
            )
            raise ShapeError(message, "router", hint="top_k and switch decide for each token by itself")

    def decide(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        p = chances(logits)
        share = as_fraction(self.capacity_factor)
        masks = [] if mask is None else [mask]
        choice = g.emit("claim", p, *masks, name="claim", share=share).named("choice")
        weights = g.emit("weights_of", p, choice, normalise=False, nobody=True).named("weights")
        seats = blocks(p.tokens * share[0], share[1] * self.experts)
        sent = product((p.shape[0], self.experts, seats))
        return Decision(choice, weights, seats, sent, min(self.experts, -(-share[0] // share[1])))
