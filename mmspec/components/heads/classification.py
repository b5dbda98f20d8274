"""One answer among several."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.pools import MeanPool, TokenPool
from mmspec.ir import Scope, ShapeError, Value
from mmspec.spec import Head


class Classification(Head):
    """Logits over classes: tokens are pooled to a vector, and a linear layer reads it.

    Shapes   f32[B, N, D] or f32[B, D] -> f32[B, classes]
    Raises   ShapeError: tokens, and `pool: none`

        label: {type: classification, classes: 12}
    """

    type: Literal["classification"] = "classification"
    classes: PositiveInt = Field(description="how many answers there are")
    pool: TokenPool = Field(default_factory=MeanPool, description="how tokens become one vector")

    def emit(self, g: Scope, x: Value) -> Value:
        if len(x.shape) not in (2, 3) or x.dtype != "f32":
            raise ShapeError(f"a classification head reads tokens or a vector, and {x.name} is neither", "from")
        pooled = self.pool.emit(g, x) if len(x.shape) == 3 else x
        return g.linear("output", pooled, self.classes)
