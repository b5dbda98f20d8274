"""Sparse experts with room for so many tokens: each token goes to one, while there is room."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mmspec.components.routers.base import Row
from mmspec.components.routers.capacity import seats
from mmspec.components.routers.scored import BalancedRouter, Decision, SeesModalities, chances
from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import FieldError


class Switch(BalancedRouter, SeesModalities):
    r"""Each token is sent to the expert with the largest router probability, which takes the first `capacity` of a sequence's.

        p = softmax(W x),  e = argmax p         in float32
        y = p_e * expert_e(x)                   0 for a token that comes when expert e is full (drop: zero)
        e = the likeliest with room             in rounds: all tokens ask for their first, those who find it full for their
                                                second, and so on (drop: next)

    The balance loss is eq. 4: E * sum_e f_e P_e, f_e the share of tokens whose first choice is e, P_e its mean probability.

    Shapes   [B, N, D] -> [B, N, D]
    Raises   FieldError: a capacity and a capacity_factor
             ShapeError: of the longest sequence more must be dropped than `dropped_at_most`; drop: next where a token must not
             depend on later ones
    Source   Switch Transformers, arXiv:2101.03961, sec. 2.1 and 2.2; drop: next is its appendix B (No-Token-Left-Behind)
    Differs  the paper shares the capacity among the sequences of a batch; here, as in the published checkpoints' code, each
             has its own, so that a text is answered alone as it is in company; a capacity_factor is of the longest text;
             FLOPs are priced as if no token were dropped

        router: {type: switch, experts: 8, capacity: 64}
    """

    type: Literal["switch"] = "switch"
    only_tokens: ClassVar[bool] = True
    capacity: PositiveInt | None = Field(None, description="tokens of a sequence that an expert takes; all by default")
    capacity_factor: PositiveFloat | None = Field(
        None, description="the same as so many times the even share of the longest sequence"
    )
    drop: Literal["zero", "next"] = Field(
        "zero", description="for whom there is no room: the residual alone, or the next-best expert that has some"
    )
    dropped_at_most: float = Field(
        1.0, ge=0, le=1, description="share of the longest sequence that may find no room anywhere"
    )

    @model_validator(mode="after")
    def _one_capacity(self) -> Self:
        if self.capacity is not None and self.capacity_factor is not None:
            raise FieldError("capacity_factor", "a capacity is given as tokens or as a factor, not both")
        return self

    @property
    def said(self) -> str:
        return f"Each token meets 1 of {self.experts} experts."

    def check(self, g: Scope, x: Value, row: Row) -> None:
        length = g.limit(x.tokens)
        capacity = self.room(length)
        lost = 0 if capacity is None else length - capacity * self.experts
        allowed = Fraction(str(self.dropped_at_most))  # as it was written: whole numbers are compared
        if lost * allowed.denominator > allowed.numerator * length:
            field = "router.capacity" if self.capacity is not None else "router.capacity_factor"
            share = f"{lost / length:.0%} of {length} tokens"
            message = f"{self.experts} experts with room for {capacity} tokens each drop {share} at least"
            needed = -(-length * (1 - self.dropped_at_most) // self.experts)
            raise ShapeError(
                message, field, hint=f"dropped_at_most is {self.dropped_at_most:g}: room for {needed:g} each"
            )
        if self.drop == "next" and row.causal:
            message = "who finds a place with the next-best expert depends on later tokens, which must not be seen here"
            raise ShapeError(message, "router.drop", hint="drop: zero takes tokens in their order")

    def room(self, length: int) -> int | None:
        return self.capacity if self.capacity_factor is None else seats(self.capacity_factor, length, self.experts)

    def decide(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        p = chances(logits)
        choice = g.emit("choose", p, name="choose", k=1).named("choice")
        capacity = self.room(g.limit(logits.tokens))
        weights = g.emit("weights_of", p, choice, normalise=False, nobody=False).named("weights")
        self.balanced(g, p, choice, weights, mask)
        if capacity is None:
            return Decision(choice, weights)
        if self.drop == "zero":
            choice = g.emit("admit", choice, name="admit", experts=self.experts, capacity=capacity).named("admitted")
            return Decision(choice, weights, capacity)
        choice = g.emit("next_best", p, name="next_best", capacity=capacity).named("placed")
        weights = g.emit("weights_of", p, choice, normalise=False, nobody=True).named("weights")
        return Decision(choice, weights, capacity)
