"""Which token was hidden."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.blocks.feed_forward import Activation, activate
from mmspec.components.heads.language_model import WEIGHTS, compare, read_tokens
from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Head


class MaskedLanguageModel(Head):
    """Logits over a vocabulary at every token, after a layer that turns what blocks pass on into what a token looks like.

        y = norm(f(W_t x + b_t)) W^T + b       W trained, or the table of embeddings where `from` names it

    Shapes   f32[B, N, D] and perhaps f32[V, E] -> f32[B, N, V]; the layer is E wide, or D
    Raises   ShapeError: no tokens; neither `vocab_size` nor a table, or both
    Source   BERT, arXiv:1810.04805, sec. 3.1, and its published code; RoBERTa, arXiv:1907.11692

        words: {type: masked_language_model, from: [text, text.embedding]}
    """

    type: Literal["masked_language_model"] = "masked_language_model"
    vocab_size: PositiveInt | None = Field(
        None, description="tokens to choose from, where the weights are the head's own"
    )
    activation: Activation = Field("gelu", description="of the layer before the product")
    norm: Literal["layer", "rms"] = Field("layer", description="layer norm, or RMS norm, which has no mean and no bias")
    norm_eps: PositiveFloat = Field(1e-12, description="epsilon of the norm")

    def emit(self, g: Scope, x: Value, table: Value | None = None) -> Value:
        read_tokens(x, "masked_language_model")
        if (table is None) == (self.vocab_size is None):
            message = "how many tokens are there to choose from?" if table is None else "the vocabulary is said twice"
            raise ShapeError(message, "vocab_size" if table is not None else "", hint=WEIGHTS)
        width = x.width if table is None else table.width
        x = g.norm("norm", activate(g.linear("transform", x, width), self.activation), self.norm_eps, self.norm)
        if table is None:
            assert self.vocab_size is not None
            return g.linear("output", x, self.vocab_size)
        return compare(g, x, table, bias=True)
