"""Halting that is learned: a distribution over exits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.halting.base import Each, ExitPolicy
from mmspec.ir import Scope, Value
from mmspec.ir.functions import pool
from mmspec.ir.scope import Body

Share = Annotated[float, Field(gt=0, lt=1)]


class Ponder(ExitPolicy):
    """A halting unit, shared by all exits, says how likely a sample is to halt at an exit if it has not before.

        l_i = sigmoid(w . pool(x_i) + b)                        of the last exit 1
        p_i = l_i prod_{j < i} (1 - l_j)
        loss = mean over samples of  sum_i p_i L_i  +  regulariser * KL(p || geometric(prior))

    A sample leaves at the first exit by which it has halted with a probability above the threshold. L_i is the loss of the answer
    at exit i; it takes the place of the loss at the end. Without a prior the regulariser weighs the expected number of exits, sum_i
    i p_i, instead of the divergence. KL is of the truncated geometric distribution, its last exit having what is left.

    Source   PonderNet, arXiv:2107.05407, eq. 1 to 4
    Differs  at inference a threshold on the probability of having halted, 0.5 its median, where the paper draws the exit; exits of
             a stack of different blocks rather than steps of one

        halting: {type: ponder, prior: 0.4, regulariser: 0.01, head: label}
    """

    type: Literal["ponder"] = "ponder"
    looks: ClassVar[bool] = True
    judges_answers: ClassVar[bool] = False
    threshold: Share | tuple[Share, ...] = Field(
        0.5, description="probability of having halted, above which a sample leaves; or one for each exit but the last"
    )
    prior: Share | None = Field(
        0.4, description="how likely the prior is to halt at an exit; null: the expected depth is weighed"
    )
    regulariser: NonNegativeFloat = Field(
        0.01, description="weight of the divergence from the prior, or of the expected depth"
    )
    exit_weight: NonNegativeFloat | tuple[NonNegativeFloat, ...] = Field(
        0.0, description="weight of the earlier exits' mean loss, beside that by their probability; or one for each"
    )

    @property
    def unit(self) -> Body:
        def halting(g: Scope, x: Value) -> Value:
            return g.linear("output", pool(x, "mean") if len(x.shape) == 3 else x, 1)

        return halting

    def criterion(self) -> Mapping[str, Any]:
        return {"criterion": "Ponder", "threshold": self.threshold}

    def loss(self, g: Scope, last: Value, exits: Value, chances: Value | None, each: Each) -> Value:
        assert chances is not None
        expected = g.emit("expected_loss", each(exits), chances)
        if self.regulariser:
            expected = expected + g.emit("halting_cost", chances, prior=self.prior) * self.regulariser
        return super().loss(g, expected, exits, chances, each)
