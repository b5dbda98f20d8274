"""One answer among several."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.pools import MeanPool, TokenPool
from mmspec.ir import Scope, Value, unreadable
from mmspec.spec import Head


class Classification(Head):
    """Logits over classes: tokens are pooled to a vector, and a linear layer reads it, after a norm if one is said.

    Shapes   f32[B, N, D] or f32[B, D] -> f32[B, classes]
    Raises   ShapeError: tokens, and `pool: none`

        label: {type: classification, classes: 12}
    """

    type: Literal["classification"] = "classification"
    classes: PositiveInt = Field(description="how many answers there are")
    pool: TokenPool = Field(default_factory=MeanPool, description="how tokens become one vector")
    norm: Literal["none", "layer", "rms"] = Field("none", description="of the vector, before the linear layer")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of that norm")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the vector, in training")

    def emit(self, g: Scope, x: Value) -> Value:
        if len(x.shape) not in (2, 3) or x.dtype != "f32":
            raise unreadable("a classification head", "tokens or a vector", x)
        pooled = self.pool.emit(g, x) if len(x.shape) == 3 else x
        if self.norm != "none":
            pooled = g.norm("norm", pooled, self.norm_eps, self.norm)
        return g.linear("output", g.dropout("dropout", pooled, self.dropout), self.classes)
