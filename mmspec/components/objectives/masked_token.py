"""Cross-entropy of tokens that were hidden."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, model_validator

from mmspec.components.objectives.base import Seen
from mmspec.components.objectives.next_token import judged_tokens
from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import FieldError, Objective


class MaskedToken(Objective):
    r"""Some tokens of a text are hidden from the model in training, and a head is judged by how well it guesses them.

        loss = mean over hidden n of  -log softmax(logits_n)[ids_n]

    The data is the text; `mmspec.data.masking.hide` draws from it what the model reads and the target of the text's name: the
    token where one is asked for, -1 elsewhere. Of the chosen tokens `masked` become `mask_id`, `random` any other token, and the
    rest stay as they are, so that the model must look at every token.

    Shapes   logits f32[B, N, V], target i64[B, N] -> f32[]; 0 where nothing was hidden
    Raises   ShapeError: the head does not answer at every token of the text
    Source   BERT, arXiv:1810.04805, sec. 3.1, task 1 and appendix A.1
    Differs  each token is chosen by itself, rather than 15 % of each text; drawn anew at every step (RoBERTa, arXiv:1907.11692)

        objectives: [{type: masked_token, text: text, mask_id: 1}]
    """

    type: Literal["masked_token"] = "masked_token"
    text: str = Field(description="the input whose tokens are hidden")
    mask_id: NonNegativeInt = Field(description="the id that stands for a hidden token")
    never: tuple[NonNegativeInt, ...] = Field((), description="ids that are never hidden: beginnings, separators")
    share: float = Field(0.15, gt=0, le=1, description="of the tokens that are asked for")
    masked: float = Field(0.8, ge=0, le=1, description="of these, how many become `mask_id`")
    random: float = Field(0.1, ge=0, le=1, description="of these, how many become another token")
    weight: NonNegativeFloat = Field(1.0, description="weight in the sum of all objectives")

    @model_validator(mode="after")
    def _shares_of_one(self) -> Self:
        if self.masked + self.random > 1:
            raise FieldError(
                "random", f"of the chosen tokens {self.masked:g} are masked and {self.random:g} random: more than all"
            )
        return self

    def reads(self) -> dict[str, str]:
        return {"text": f"inputs.{self.text}"}

    def emit(self, g: Scope, seen: Seen) -> Value:
        assert self.head is not None
        logits, ids = seen.output(self.head), seen.output("text")
        judged_tokens(logits, ids, self.head)
        for field, id in (("mask_id", self.mask_id), *(("never", id) for id in self.never)):
            if id >= ids.bound:
                raise ShapeError(f"the ids of {self.text} are below {ids.bound}, and {field} is {id}", field)
        target = seen.target(self.text, logits.shape[:2])
        return g.emit("token_cross_entropy", logits, target, smoothing=0.0) * self.weight
