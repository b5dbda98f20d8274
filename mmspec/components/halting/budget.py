"""The best answer that a budget of FLOPs allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmspec.components.halting.base import ExitPolicy


class Budget(ExitPolicy):
    """An anytime model: a sample leaves the stack at the last exit that its budget allows.

        exit at i  if  FLOPs of the whole model up to exit i + 1  >  budget

    The budget is an input f32[B], FLOPs for each sample, which a caller may leave out: then nothing is limited. Costs are those of
    the profile at batch 1 and the longest texts, all else computed in full, so that a budget holds for every text. A budget below
    the cost of the first exit gets the first exit, as there is no earlier answer.

    Source   anytime prediction, Multi-Scale Dense Networks, arXiv:1703.09844, sec. 3
    Differs  the budget is of FLOPs counted by the compiler, not of time

        halting: {type: budget, budget: budget, head: label}
    """

    type: Literal["budget"] = "budget"
    names_input: ClassVar[str] = "budget"
    needs_head: ClassVar[bool] = False
    judges_answers: ClassVar[bool] = False
    budget: str = Field("budget", description="the input of type `number` that says what a sample may cost, in FLOPs")

    @property
    def budget_input(self) -> str:
        return self.budget

    def criterion(self) -> Mapping[str, Any]:
        return {
            "criterion": "Budget",
            "threshold": 0.0,
            "arguments": {"costs": ()},
        }  # filled in when the whole is priced
