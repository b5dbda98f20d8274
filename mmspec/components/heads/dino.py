"""The head that a network is taught with by another of its kind."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.blocks.feed_forward import Activation, activate
from mmspec.components.pools import MeanPool, TokenPool
from mmspec.ir import Init, Scope, Value, unreadable
from mmspec.spec import Head


class Dino(Head):
    """How much a vector is like each of many prototypes, after a network of its own.

        h = f(W_1 x), f(W_2 h), ...;   z = W_n h;   y_k = l_k (w_k / |w_k|) (z / |z|)

    A teacher's head is `centred`: from every y the mean of what it has said so far is taken, which keeps it from always saying
    the same. In training that mean moves on after each batch.

    Shapes   f32[B, N, D] or f32[B, D] -> f32[B, prototypes]
    Raises   ShapeError: neither tokens nor a vector; tokens, and `pool: none`
    Source   Emerging Properties in Self-Supervised Vision Transformers, arXiv:2104.14294, sec. 3.1, 3.2 and appendix C

        student: {type: dino, from: image, hidden: 256, bottleneck: 64, prototypes: 512}
    """

    type: Literal["dino"] = "dino"
    pool: TokenPool = Field(default_factory=MeanPool, description="how tokens become one vector")
    depth: PositiveInt = Field(3, description="linear layers before the prototypes")
    hidden: PositiveInt = Field(2048, description="channels between them")
    activation: Activation = Field("gelu", description="between them")
    bottleneck: PositiveInt = Field(256, description="channels of a prototype")
    prototypes: PositiveInt = Field(65536, description="how many there are")
    norm_last_layer: bool = Field(True, description="all prototypes of length 1; otherwise the lengths l are trained")
    centred: float | None = Field(
        None, gt=0, lt=1, description="a teacher's: what the mean keeps of itself at each step; 0.9 in the paper"
    )

    def emit(self, g: Scope, x: Value) -> Value:
        if len(x.shape) not in (2, 3) or x.dtype != "f32":
            raise unreadable("a dino head", "tokens or a vector", x)
        h = self.pool.emit(g, x) if len(x.shape) == 3 else x
        for layer in range(1, self.depth):
            h = activate(g.linear(f"layer{layer}", h, self.hidden), self.activation)
        z = g.emit("normalise", g.linear(f"layer{self.depth}", h, self.bottleneck)).named("z")
        prototypes = g.emit("normalise", g.parameter("prototypes", self.prototypes, self.bottleneck))
        y = g.emit("project", z, prototypes)
        if not self.norm_last_layer:
            y = y * g.parameter("length", self.prototypes, init=Init("ones"))
        return y if self.centred is None else g.emit("centred", y, name="centre", keep=self.centred)
