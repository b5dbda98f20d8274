"""Linear layers on each token."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.blocks.feed_forward import Activation, activate
from mmspec.ir import Scope, Value, unreadable
from mmspec.spec import Encoder


class Mlp(Encoder):
    """Each token, or a vector, through linear layers with an activation between them: what brings the tokens of one network to
    the width that another works in.

        y = W_n f(... f(W_1 x)),   all layers but the last of `hidden` channels

    Shapes   f32[..., D] -> f32[..., width]
    Raises   ShapeError: the input is neither tokens nor a vector
    Source   the projectors of LLaVA, arXiv:2304.08485 (`depth: 1`), and LLaVA-1.5, arXiv:2310.03744, sec. 3.2

        projected: {type: mlp, from: image, width: 128}
    """

    type: Literal["mlp"] = "mlp"
    width: PositiveInt = Field(192, description="channels of the result")
    hidden: PositiveInt | None = Field(None, description="channels between the layers; the width by default")
    depth: PositiveInt = Field(2, description="linear layers")
    activation: Activation = Field("gelu", description="between them")
    bias: bool = Field(True, description="biases of the layers")

    def emit(self, g: Scope, x: Value) -> Value:
        if len(x.shape) not in (2, 3) or x.dtype != "f32":
            raise unreadable("an mlp", "tokens or a vector", x)
        for layer in range(1, self.depth):
            x = activate(g.linear(f"layer{layer}", x, self.hidden or self.width, self.bias), self.activation)
        return g.linear(f"layer{self.depth}", x, self.width, self.bias)
