"""Linear layers, tables of embeddings, bare parameters and constants; and what is random in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmspec.ir.dims import Dim, Shape, product
from mmspec.ir.graph import Init, Op, Parameter, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, ShapeOf, primitive


@primitive
class Linear(Primitive):
    """y = x W^T + b.   [..., D] -> [..., width]"""

    kind = "linear"
    tokenwise = True

    def infer(self, x: Value, *, width: int, **_: Any) -> tuple[Shape, str]:
        return (*x.shape[:-1], width), x.dtype

    def parameters(self, x: Value, *, width: int, bias: bool, init: Init) -> tuple[Parameter, ...]:
        weight = Parameter("weight", (width, x.width), init)
        return (weight, Parameter("bias", (width,), Init("zeros"))) if bias else (weight,)

    def pointwise(self, op: Op, shape: ShapeOf) -> Dim:
        return product(shape(op.outputs[0])) if op.attributes["bias"] else 0

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        width: int = op.attributes["width"]
        return 2 * product(shape(op.inputs[0])) * width

    def make(self, torch: Any, op: Op) -> Any:
        sizes = (op.inputs[0].width, op.attributes["width"])
        return torch.nn.Linear(*sizes) if op.attributes["bias"] else torch.nn.Linear(*sizes, bias=False)

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class InferenceLinear(Linear):
    """The same layer where it does not train. Made by the pass `products_for_inference`.   [..., D] -> [..., width]"""

    kind = "inference_linear"

    def make(self, torch: Any, op: Op) -> Any:
        return torch.runtime.InferenceLinear(op.inputs[0].width, op.attributes["width"], bias=op.attributes["bias"])


@primitive
class Projections(Primitive):
    """Linear layers of one input as one matrix product. They keep their names: its parameters are called `query.weight`, not after
    the product. Made by the pass `join_projections`; one output for each of `parts`, (name, width, bias).
    [..., D] -> [..., width_1], [..., width_2], ..."""

    kind = "projections"
    tokenwise = True

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        width: int = sum(width for _, width, _ in op.attributes["parts"])
        return 2 * product(shape(op.inputs[0])) * width

    def make(self, torch: Any, op: Op) -> Any:
        return torch.runtime.Projections(op.inputs[0].width, op.attributes["parts"])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class Lookup(Primitive):
    """A row of a table for each id.   i64[B, N], [rows, D] -> [B, N, D]"""

    kind = "lookup"
    tokenwise = True
    gathers = True
    operations = 0

    def infer(self, ids: Value, table: Value) -> tuple[Shape, str]:
        return (*ids.shape, table.width), table.dtype

    def run(self, torch: Any, module: Any, op: Op, ids: Any, table: Any) -> Any:
        return torch.nn.functional.embedding(ids, table)


@primitive
class Project(Primitive):
    """A linear layer whose weight is a value, such as a table of embeddings that is read twice.   [..., D], [V, D] -> [..., V]"""

    kind = "project"
    tokenwise = True

    def infer(self, x: Value, table: Value, bias: Value | None = None) -> tuple[Shape, str]:
        if x.width != table.width:
            raise ShapeError(f"vectors of {x.width} channels cannot be compared with a table of {table.width}")
        return (*x.shape[:-1], table.shape[0]), x.dtype

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        return 2 * product(shape(op.inputs[0])) * shape(op.inputs[1])[0]

    def backward(self, op: Op, shape: ShapeOf, wanted: Sequence[bool], trained: bool, fused: bool = True) -> Dim:
        return self.flops(op, shape) * (wanted[0] + wanted[1])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.nn.functional.linear(*inputs)


@primitive
class InferenceProject(Project):
    """The same product where it does not train. Made by the pass `products_for_inference`.   [..., D], [V, D] -> [..., V]"""

    kind = "inference_project"

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.inference_linear(*inputs)


@primitive
class Table(Primitive):
    """A bare trained tensor: positions, a type embedding, a query."""

    kind = "parameter"
    operations = 0

    def infer(self, *, shape: tuple[int, ...], **_: Any) -> tuple[Shape, str]:
        if any(size < 1 for size in shape):
            raise ShapeError(f"a table of shape {shape} has no entries")
        return shape, "f32"

    def parameters(
        self,
        *,
        shape: tuple[int, ...],
        init: Init,
        trainable: bool = True,
        grid: tuple[int, ...] | None = None,
    ) -> tuple[Parameter, ...]:
        return (Parameter("", shape, init, trainable, grid=grid),)

    def make(self, torch: Any, op: Op) -> Any:
        table = torch.empty(*op.attributes["shape"])
        return (
            torch.nn.Parameter(table) if op.parameters[0].trainable else torch.nn.Parameter(table, requires_grad=False)
        )

    def run(self, torch: Any, module: Any, op: Op) -> Any:
        return module


@primitive
class Constant(Primitive):
    """A tensor that follows from sizes alone: `table` names the function of `backend.runtime.tables` that gives it."""

    kind = "constant"
    operations = 0

    def infer(self, *, table: str, arguments: tuple[Any, ...], shape: Shape, dtype: str = "f32") -> tuple[Shape, str]:
        return shape, dtype

    def make(self, torch: Any, op: Op) -> Any:
        return getattr(torch.runtime, op.attributes["table"])(*op.attributes["arguments"])

    def run(self, torch: Any, module: Any, op: Op) -> Any:
        return module


@primitive
class Dropout(Primitive):
    """Zero with probability `p` in training, identity otherwise."""

    kind = "dropout"
    operations = 0
    alias = True  # in inference, which is what memory is asked about

    def make(self, torch: Any, op: Op) -> Any:
        return torch.nn.Dropout(op.attributes["p"])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class DropPath(Primitive):
    """Stochastic depth: in training the whole branch of a sample is zero with probability `p`, and scaled by 1 / (1 - p) else.
    (Deep Networks with Stochastic Depth, arXiv:1603.09382)"""

    kind = "drop_path"
    operations = 0
    alias = True

    def make(self, torch: Any, op: Op) -> Any:
        return torch.runtime.DropPath(op.attributes["p"])

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class Limited(Primitive):
    """A parameter that is at most `upper`: cut back in training, before it is read.   [...] -> [...]"""

    kind = "limited"

    def make(self, torch: Any, op: Op) -> Any:
        return torch.runtime.Limited(op.attributes["upper"])

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return module(x)
