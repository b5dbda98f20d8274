"""Transformer over a text that is being written, with what was understood in view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from mmspec.components.attention.base import Attention
from mmspec.components.attention.dense import Causal
from mmspec.components.blocks.halting import HaltingStack
from mmspec.components.positions.base import SEQUENCE
from mmspec.ir import Scope, ShapeError, Value, told, unreadable
from mmspec.spec import Decoder


class TextDecoder(HaltingStack, Decoder):
    """Embeddings of the text so far, through blocks that look at it and then at a context.

        x = x + Attention(norm(x), causal);  x = x + Attention(norm(x), context);  x = x + FeedForward(norm(x))

    `from` names the text and the context, and as a third, `source.embedding`, the table of another node's embeddings, where the
    two share one. `<name>.embedding` is the table that is read.

    Shapes   i64[B, N], f32[B, M, E] and perhaps f32[vocab_size, width] -> f32[B, N, width]; port f32[vocab_size, width]
    Raises   ShapeError: the first of `from` is no text, there is no context, or the table is of another width or vocabulary
    Source   Attention Is All You Need, arXiv:1706.03762, fig. 1; T5, arXiv:1910.10683

        answer: {type: text_decoder, from: [target, text], width: 128, depth: 2, heads: 4}
    """

    type: Literal["text_decoder"] = "text_decoder"
    attention: Attention = Field(default_factory=Causal, description="which tokens of the text see which")

    def emit(
        self, g: Scope, ids: Value, context: Value | None = None, table: Value | None = None
    ) -> Mapping[str, Value]:
        if ids.dtype != "i64":
            raise unreadable("a text_decoder", "the token ids that it writes", ids, hint=_READS)
        if context is None or len(context.shape) != 3 or context.dtype != "f32":
            found = "there is none" if context is None else f"the second is {told(context)}"
            raise ShapeError(f"a text_decoder looks at tokens of a context, and {found}", "from", hint=_READS)
        if table is None:
            table = g.parameter("embedding", ids.bound, self.width)
        elif table.shape != (ids.bound, self.width):
            message = f"{table.name} has {table.shape[0]} vectors of {table.shape[-1]} channels"
            raise ShapeError(f"{message}; this text has {ids.bound} ids, and the width is {self.width}", "from")
        x = g.emit("lookup", ids, table)
        return {"": self.tokens(g, x, SEQUENCE, context=(context,)), "embedding": table}


_READS = "from: [target, text] names what is written and what is looked at; a text_transformer needs no context"
