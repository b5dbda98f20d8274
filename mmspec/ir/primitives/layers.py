"""Primitives with parameters: linear, convolution, embedding, layer norm, bare tables, and dropout."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Dim, Shape, product
from mmspec.ir.graph import Init, Op, Parameter, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, ShapeOf, primitive


@primitive
class Linear(Primitive):
    """y = x W^T + b.   [..., D] -> [..., width]"""

    kind = "linear"

    def infer(self, x: Value, *, width: int, **_: Any) -> tuple[Shape, str]:
        return (*x.shape[:-1], width), x.dtype

    def parameters(self, x: Value, *, width: int, bias: bool, init: Init) -> tuple[Parameter, ...]:
        weight = Parameter("weight", (width, x.width), init)
        return (weight, Parameter("bias", (width,), Init("zeros"))) if bias else (weight,)

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        width: int = op.attributes["width"]
        return 2 * product(shape(op.inputs[0])) * width

    def make(self, torch: Any, op: Op) -> Any:
        sizes = (op.inputs[0].width, op.attributes["width"])
        return torch.nn.Linear(*sizes) if op.attributes["bias"] else torch.nn.Linear(*sizes, bias=False)

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class Convolution(Primitive):
    """A square convolution.   [B, C, H, W] -> [B, width, (H - kernel) / stride + 1, ...]"""

    kind = "convolution"

    def infer(self, x: Value, *, width: int, kernel: int, stride: int, **_: Any) -> tuple[Shape, str]:
        height, columns = x.shape[2], x.shape[3]
        assert isinstance(height, int) and isinstance(columns, int), "image sizes are fixed"
        return (x.shape[0], width, (height - kernel) // stride + 1, (columns - kernel) // stride + 1), x.dtype

    def mask(self, *inputs: Value, **_: Any) -> None:
        return None

    def parameters(self, x: Value, *, width: int, kernel: int, init: Init, **_: Any) -> tuple[Parameter, ...]:
        channels = x.shape[1]
        assert isinstance(channels, int)
        return (
            Parameter("weight", (width, channels, kernel, kernel), init),
            Parameter("bias", (width,), Init("zeros")),
        )

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        kernel: int = op.attributes["kernel"]
        return 2 * product(shape(op.outputs[0])) * shape(op.inputs[0])[1] * (kernel * kernel)

    def make(self, torch: Any, op: Op) -> Any:
        a = op.attributes
        return torch.nn.Conv2d(op.inputs[0].shape[1], a["width"], kernel_size=a["kernel"], stride=a["stride"])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class Embedding(Primitive):
    """A row of a table for each id.   i64[B, N] -> f32[B, N, width]"""

    kind = "embedding"

    def infer(self, ids: Value, *, width: int, **_: Any) -> tuple[Shape, str]:
        return (*ids.shape, width), "f32"

    def parameters(self, ids: Value, *, rows: int, width: int, init: Init) -> tuple[Parameter, ...]:
        return (Parameter("weight", (rows, width), init),)

    def make(self, torch: Any, op: Op) -> Any:
        return torch.nn.Embedding(op.attributes["rows"], op.attributes["width"])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class LayerNorm(Primitive):
    """(x - mean) / sqrt(var + eps) * weight + bias over channels."""

    kind = "layer_norm"

    def parameters(self, x: Value, *, eps: float) -> tuple[Parameter, ...]:
        return (Parameter("weight", (x.width,), Init("ones")), Parameter("bias", (x.width,), Init("zeros")))

    def make(self, torch: Any, op: Op) -> Any:
        return torch.nn.LayerNorm(op.inputs[0].width, eps=op.attributes["eps"])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class Table(Primitive):
    """A bare trained tensor: positions, a type embedding, a query."""

    kind = "parameter"

    def infer(self, *, shape: tuple[int, ...], **_: Any) -> tuple[Shape, str]:
        if any(size < 1 for size in shape):
            raise ShapeError(f"a table of shape {shape} has no entries")
        return shape, "f32"

    def parameters(self, *, shape: tuple[int, ...], init: Init) -> tuple[Parameter, ...]:
        return (Parameter("", shape, init),)

    def make(self, torch: Any, op: Op) -> Any:
        return torch.nn.Parameter(torch.empty(*op.attributes["shape"]))

    def run(self, torch: Any, module: Any, op: Op) -> Any:
        return module


@primitive
class Dropout(Primitive):
    """Zero with probability `p` in training, identity otherwise."""

    kind = "dropout"
    alias = True  # in inference, which is what memory is asked about

    def make(self, torch: Any, op: Op) -> Any:
        return torch.nn.Dropout(op.attributes["p"])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)
