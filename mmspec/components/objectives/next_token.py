"""Cross-entropy of a text with itself, one token further on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.objectives.base import Seen
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part
from mmspec.spec import Objective


class NextToken(Objective):
    r"""What a head says at a token is judged by the token after it. The text is its own target: the data needs no column for it.

        loss = mean over n with token n + 1 present of  -log softmax(logits_n)[ids_{n + 1}]

    What is judged must not have seen the answer: `attention: causal`, or a decoder.

    Shapes   logits f32[B, N, V], ids i64[B, N] -> f32[]; 0 where no text has two tokens
    Raises   ShapeError: the head does not answer at every token of the text
    Source   Improving Language Understanding by Generative Pre-Training, Radford et al. 2018, eq. 1; T5, arXiv:1910.10683

        objectives: [{type: next_token, text: text}]
    """

    type: Literal["next_token"] = "next_token"
    text: str = Field(description="the input whose tokens are guessed")
    weight: NonNegativeFloat = Field(1.0, description="weight in the sum of all objectives")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="how much of the target is spread over the vocabulary")

    def reads(self) -> dict[str, str]:
        return {"text": f"inputs.{self.text}"}

    def emit(self, g: Scope, seen: Seen) -> Value:
        assert self.head is not None
        logits, ids = seen.output(self.head), seen.output("text")
        judged_tokens(logits, ids, self.head)
        asked = part(ids, 1)
        given = (asked,) if asked.mask is None else (asked, asked.mask)
        loss = g.emit("token_cross_entropy", part(logits, 0, -1), *given, smoothing=self.label_smoothing)
        return loss * self.weight


def judged_tokens(logits: Value, ids: Value, head: str) -> None:
    """Raises ShapeError: the head does not answer at every token of the text, or has a smaller vocabulary"""
    if ids.dtype != "i64":
        raise ShapeError(f"{ids.name} is no text", "text", hint="the name of an input of type text")
    if len(logits.shape) != 3 or logits.shape[:2] != ids.shape:
        shapes = f"{head} answers {list(logits.shape)}, the text is {list(ids.shape)}"
        raise ShapeError(f"{head} does not answer at every token of {ids.name}: {shapes}", "head")
    if logits.width < ids.bound:
        raise ShapeError(f"{head} knows {logits.width} tokens; {ids.name} has {ids.bound}", "head")
