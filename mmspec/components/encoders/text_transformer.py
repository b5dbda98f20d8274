"""Transformer over a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, NonNegativeInt

from mmspec.components.blocks.pruned import PrunableStack
from mmspec.components.positions.base import SEQUENCE
from mmspec.ir import Scope, Value, unreadable
from mmspec.spec import Encoder


class TextTransformer(PrunableStack, Encoder):
    """Token embeddings with positions, through transformer blocks. Padding is never attended to.

    `text.embedding` is the table of embeddings, which a head may read again.

    Shapes   i64[B, N], mask bool[B, N] -> f32[B, N, width]; port f32[vocab_size, width]
    Raises   ShapeError: heads do not divide the width; the input is no text
    Source   BERT, arXiv:1810.04805; GPT-2 with `attention: causal`; LLaMA, arXiv:2302.13971, with rms norms and rotary positions
    Differs  norms before the sublayers unless `norm_order` says otherwise

        text: {type: text_transformer, width: 128, depth: 3, heads: 4}
    """

    type: Literal["text_transformer"] = "text_transformer"
    token_types: NonNegativeInt = Field(
        0, description="kinds of segments, each with a trained vector; all tokens are of the first"
    )

    def emit(self, g: Scope, ids: Value) -> Mapping[str, Value]:
        if ids.dtype != "i64":
            raise unreadable("a text_transformer", "token ids", ids)
        table = g.parameter("embedding", ids.bound, self.width)
        x = g.emit("lookup", ids, table)
        if self.token_types:
            types = g.parameter("token_type", self.token_types, self.width)
            x = x + g.emit("slice", types, axis=0, start=0, stop=1)
        return {"": self.tokens(g, x, SEQUENCE), "embedding": table}
