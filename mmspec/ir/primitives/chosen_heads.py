"""Linear layers of attention for the heads that each sample has chosen."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Dim, Shape, product
from mmspec.ir.graph import Init, Op, Parameter, Value
from mmspec.ir.primitives.base import Primitive, ShapeOf, primitive


@primitive
class HeadInput(Primitive):
    """A linear layer to heads of `width`, for the chosen ones.   [B, N, D], i64[B, k] -> [B, k, N, width]"""

    kind = "head_input"

    def infer(self, x: Value, numbers: Value, *, width: int, **_: Any) -> tuple[Shape, str]:
        return (x.shape[0], numbers.shape[1], x.tokens, width), x.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def parameters(
        self, x: Value, numbers: Value, *, heads: int, width: int, bias: bool, init: Init
    ) -> tuple[Parameter, ...]:
        weight = Parameter("weight", (heads * width, x.width), init)
        return (weight, Parameter("bias", (heads * width,), Init("zeros"))) if bias else (weight,)

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        return 2 * product(shape(op.outputs[0])) * op.inputs[0].width

    def scratch(self, op: Op, shape: ShapeOf) -> Dim:
        width: int = op.attributes["width"]
        return 4 * product(shape(op.inputs[1])) * width * op.inputs[0].width  # the weights of each sample's heads

    def make(self, torch: Any, op: Op) -> Any:
        a = op.attributes
        unusual = {} if a["bias"] else {"bias": False}
        return torch.runtime.HeadInput(op.inputs[0].width, a["heads"], a["width"], **unusual)

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class HeadOutput(Primitive):
    """The linear layer from heads, for the chosen ones.   [B, k, N, d], i64[B, k] -> [B, N, width]"""

    kind = "head_output"

    def infer(self, x: Value, numbers: Value, *, width: int, **_: Any) -> tuple[Shape, str]:
        return (x.shape[0], x.shape[2], width), x.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def parameters(
        self, x: Value, numbers: Value, *, heads: int, width: int, bias: bool, init: Init
    ) -> tuple[Parameter, ...]:
        weight = Parameter("weight", (width, heads * x.width), init)
        return (weight, Parameter("bias", (width,), Init("zeros"))) if bias else (weight,)

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        width: int = op.attributes["width"]
        return 2 * product(shape(op.inputs[0])) * width

    def scratch(self, op: Op, shape: ShapeOf) -> Dim:
        width: int = op.attributes["width"]
        chosen = product(shape(op.inputs[1])) * op.inputs[0].width * width  # the weights of each sample's heads
        return 2 * 4 * chosen  # as they are stored, and side by side

    def make(self, torch: Any, op: Op) -> Any:
        a = op.attributes
        unusual = {} if a["bias"] else {"bias": False}
        return torch.runtime.HeadOutput(a["heads"], op.inputs[0].width, a["width"], **unusual)

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)
