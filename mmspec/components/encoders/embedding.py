"""Token embeddings alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.ir import Scope, Value, unreadable
from mmspec.spec import Encoder


class Embedding(Encoder):
    """A trained vector for each id, for others to mix, place and read: the first layer of a language model by itself.

    `text.embedding` is the table, which a head may read again.

    Shapes   i64[B, N], mask bool[B, N] -> f32[B, N, width]; port f32[vocab_size, width]
    Raises   ShapeError: the input is no text

        text: {type: embedding, width: 128}
    """

    type: Literal["embedding"] = "embedding"
    width: PositiveInt = Field(192, description="channels of a token")

    def emit(self, g: Scope, ids: Value) -> Mapping[str, Value]:
        if ids.dtype != "i64":
            raise unreadable("an embedding", "token ids", ids)
        table = g.parameter("embedding", ids.bound, self.width)
        return {"": g.emit("lookup", ids, table), "embedding": table}
