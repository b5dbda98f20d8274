"""An embedding: one vector for a whole input, to be compared with those of another modality."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmspec.components.pools import MeanPool, TokenPool
from mmspec.ir import Scope, Value, unreadable
from mmspec.ir.functions import tanh
from mmspec.spec import Head


class Projection(Head):
    """Tokens pooled to a vector, projected to a common space, on the unit sphere.

        z = f(W norm(pool(x))),   y = z / |z|

    With `activation: tanh`, `pool: first`, a bias and no unit length it is BERT's pooler (arXiv:1810.04805, its published code).

    Shapes   f32[B, N, D] or f32[B, D] -> f32[B, width]
    Raises   ShapeError: neither tokens nor a vector; tokens, and `pool: none`
    Source   CLIP, arXiv:2103.00020, fig. 3; SigLIP, arXiv:2303.15343, alg. 1, whose image tower has no projection (`width: null`)

        image_embedding: {type: projection, from: image, pool: mean, width: 128}
    """

    type: Literal["projection"] = "projection"
    width: PositiveInt | None = Field(512, description="channels of the embedding; null: the pooled vector as it is")
    pool: TokenPool = Field(default_factory=MeanPool, description="how tokens become one vector")
    norm: Literal["none", "layer", "rms"] = Field("none", description="a norm of the pooled vector")
    norm_eps: PositiveFloat = Field(1e-5, description="its epsilon")
    bias: bool = Field(False, description="a bias of the projection")
    activation: Literal["none", "tanh"] = Field("none", description="after the projection")
    normalise: bool = Field(True, description="unit length, so that products are cosines")

    def emit(self, g: Scope, x: Value) -> Value:
        if len(x.shape) not in (2, 3) or x.dtype != "f32":
            raise unreadable("a projection", "tokens or a vector", x)
        y = self.pool.emit(g, x) if len(x.shape) == 3 else x
        if self.norm != "none":
            y = g.norm("norm", y, self.norm_eps, self.norm)
        if self.width is not None:
            y = g.linear("output", y, self.width, self.bias)
        if self.activation == "tanh":
            y = tanh(y)
        return g.emit("normalise", y) if self.normalise else y
