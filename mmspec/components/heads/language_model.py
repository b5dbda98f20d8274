"""Which token comes next."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.ir import Init, Scope, ShapeError, Value, unreadable
from mmspec.spec import Head


class LanguageModel(Head):
    """Logits over a vocabulary at every token.

        y = x W^T          W trained, or the table of embeddings where `from` names it: [text, text.embedding]

    Shapes   f32[B, N, D] and perhaps f32[V, D] -> f32[B, N, V]
    Raises   ShapeError: no tokens; neither `vocab_size` nor a table, or both; a table of another width
    Source   Using the Output Embedding to Improve Language Models, arXiv:1608.05859, for the shared table; `scaled` as in T5,
             arXiv:1910.10683

        words: {type: language_model, from: [text, text.embedding]}
    """

    type: Literal["language_model"] = "language_model"
    vocab_size: PositiveInt | None = Field(
        None, description="tokens to choose from, where the weights are the head's own"
    )
    bias: bool = Field(False, description="a bias for each token of the vocabulary")
    scaled: bool = Field(False, description="x / sqrt(D) goes into the product, as where T5 shares its table")

    def emit(self, g: Scope, x: Value, table: Value | None = None) -> Value:
        read_tokens(x, "language_model")
        if self.scaled:
            x = x * x.width**-0.5
        if table is None:
            if self.vocab_size is None:
                raise ShapeError("how many tokens are there to choose from?", hint=WEIGHTS)
            return g.linear("output", x, self.vocab_size, self.bias)
        if self.vocab_size is not None:
            raise ShapeError(
                "the vocabulary is that of the table of embeddings; it is not said again", "vocab_size", hint=WEIGHTS
            )
        return compare(g, x, table, self.bias)


def read_tokens(x: Value, head: str) -> None:
    """Raises ShapeError: x is no tokens"""
    if len(x.shape) != 3 or x.dtype != "f32":
        raise unreadable(f"a {head}", "tokens, to answer at each", x)


def compare(g: Scope, x: Value, table: Value, bias: bool) -> Value:
    """Each token with every row of a table, which may have a bias.   [B, N, D], [V, D] -> [B, N, V].   Raises ShapeError"""
    if len(table.shape) != 2 or table.width != x.width or not isinstance(rows := table.shape[0], int):
        message = f"tokens of {x.width} channels cannot be compared with a table of shape {list(table.shape)}"
        raise ShapeError(message, "from", hint=WEIGHTS)
    biases = (g.parameter("bias", rows, init=Init("zeros")),) if bias else ()
    return g.emit("project", x, table, *biases)


WEIGHTS = (
    "`from: [text, text.embedding]` shares the table of embeddings, `vocab_size: ...` gives the head weights of its own"
)
