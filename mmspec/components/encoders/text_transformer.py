"""Transformer over a text that sees all of it."""

from __future__ import annotations

from typing import Literal

from mmspec.components.encoders.base import TransformerEncoder
from mmspec.ir import Scope, ShapeError, Value


class TextTransformer(TransformerEncoder):
    """Token embeddings with positions, through bidirectional pre-norm blocks and a last norm. Padding is never attended to.

    Shapes   i64[B, N], mask bool[B, N] -> f32[B, N, width]
    Raises   ShapeError: heads do not divide the width; the input is no text
    Source   BERT, arXiv:1810.04805, with the norms before the sublayers (arXiv:2002.04745)

        text: {type: text_transformer, width: 128, depth: 3, heads: 4}
    """

    type: Literal["text_transformer"] = "text_transformer"

    def emit(self, g: Scope, ids: Value) -> Value:
        if ids.dtype != "i64":
            raise ShapeError(f"a text_transformer reads token ids, and {ids.name} is {ids.dtype}", "from")
        return self.through_blocks(g, g.embedding("embedding", ids, ids.bound, self.width), None)
