"""What a primitive operation is: a shape rule, a cost rule and a torch lowering, in one class.

The lowering is written against namespaces that are handed in, so that this room does not import torch and so that one rule
serves twice: with torch itself it builds modules and an fx graph, with a printer it writes the source of the same program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from mmspec.ir.dims import Dim, Shape, product
from mmspec.ir.graph import Op, Parameter, Value

ShapeOf = Callable[[Value], Shape]  # the shape with symbols bound, or as it is


class ShapeError(Exception):
    """Sizes that cannot fit together. `field` names the field of the component that is to blame, where one is."""

    def __init__(self, message: str, field: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.hint = hint


class Primitive:
    """The default: one output like the first input, no parameters, no FLOPs, a function of torch."""

    kind: ClassVar[str]
    alias: ClassVar[bool] = False  # the output is a view of the first input
    family: ClassVar[str] = "linear"  # of its products: linear, convolution, attention
    operations: ClassVar[int] = 1  # elementary ones on each element, beside its products; where data only move, 0
    reduces: ClassVar[bool] = False  # those elements are the first input's, not the output's
    gathers: ClassVar[bool] = False  # reads as much of a table as it gives out
    tokenwise: ClassVar[bool] = False  # what it makes of a token follows from that token alone, wherever it stands

    def infer(self, *inputs: Value, **attributes: Any) -> tuple[Shape, str]:
        """Shape and dtype of the output.   Raises ShapeError."""
        return inputs[0].shape, inputs[0].dtype

    def mask(self, *inputs: Value, **attributes: Any) -> Value | None:
        """Which tokens of the output are present: those of the first input."""
        return inputs[0].mask if inputs else None

    def parameters(self, *inputs: Value, **attributes: Any) -> tuple[Parameter, ...]:
        return ()

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        """Forward FLOPs of matrix products and convolutions, 2 for each multiply-add."""
        return 0

    def backward(self, op: Op, shape: ShapeOf, wanted: Sequence[bool], trained: bool, fused: bool = True) -> Dim:
        """FLOPs of gradients: for each operand of its products that needs one, as many as forward.

        wanted   whether each input's gradient is needed;   trained: whether its own parameters' are
        fused    attention keeps no scores and computes them again
        """
        return self.flops(op, shape) * (wanted[0] + trained)

    def pointwise(self, op: Op, shape: ShapeOf) -> Dim:
        """Elementary operations beside the products: one for each +, *, max, comparison, exp, tanh, erf or root of an element."""
        return self.operations * product(shape((op.inputs if self.reduces else op.outputs)[0]))

    def moved(self, op: Op, size: Callable[[Value], int], floats: int, copies: int = 1) -> tuple[int, int]:
        """Bytes that are read and written, each value once, and the weights of as many `copies`. `size`: bytes of a value,
        `floats`: of a number."""
        if self.is_view(op):
            return 0, 0
        written = sum(map(size, op.outputs))
        weights = copies * floats * sum(parameter.size for parameter in op.parameters if parameter.buffer != "i64")
        if self.gathers:
            return written + sum(size(value) for value in op.inputs if value.dtype == "i64"), written
        return sum(map(size, op.inputs)) + weights, written

    def is_view(self, op: Op) -> bool:
        """Whether the output shares the memory of the first input."""
        return self.alias

    def is_tokenwise(self, op: Op) -> bool:
        """Whether a row may be computed token by token: nothing that it makes of one follows from another or from its place."""
        return self.tokenwise

    def scratch(self, op: Op, shape: ShapeOf) -> Dim:
        """Bytes that are held while it runs, beside its inputs and its output."""
        return 0

    def make(self, torch: Any, op: Op) -> Any:
        """The torch module that holds the parameters, or None."""
        return None

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        """The value in torch. `torch` has `torch.nn`, and `torch.runtime` for our own few functions."""
        raise NotImplementedError(self.kind)


PRIMITIVES: dict[str, Primitive] = {}


def primitive(cls: type[Primitive]) -> type[Primitive]:
    assert cls.kind not in PRIMITIVES, cls.kind
    PRIMITIVES[cls.kind] = cls()
    return cls


def broadcast(a: Shape, b: Shape) -> Shape:
    """The shape of an elementwise operation (sizes equal, or 1, or missing at the front)."""
    if len(a) < len(b):
        a, b = b, a
    result = list(a)
    for i in range(1, len(b) + 1):
        if a[-i] == 1:
            result[-i] = b[-i]
        elif b[-i] != 1 and a[-i] != b[-i]:
            raise ShapeError(f"sizes do not fit: {shape_text(a)} and {shape_text(b)}")
    return tuple(result)


def shape_text(shape: Shape) -> str:
    return "[" + ", ".join(str(dim) for dim in shape) + "]"


Attributes = Mapping[str, Any]
