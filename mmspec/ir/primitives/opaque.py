"""A torch module that somebody else wrote: called by its import path, with the price that its component declares for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmspec.ir.dims import Dim, Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, ShapeOf, primitive


@primitive
class Opaque(Primitive):
    """What `package.module:Class(**arguments)` answers.

    shape, dtype   of the answer
    flops          forward, 2 per multiply-add; None: not known, and then no total is. Backward is taken as twice that, once where
                   it is frozen and its inputs need a gradient
    numbers        parameters; None: not known
    held           the most bytes that it holds inside, beside its inputs and its answer; None: not known
    trained        whether its parameters are
    """

    kind = "opaque"
    operations = 0  # what it computes beside products is not known

    def infer(self, *inputs: Value, module: str, shape: Shape, dtype: str = "f32", **_: Any) -> tuple[Shape, str]:
        package, colon, name = module.partition(":")
        if not (colon and name.isidentifier() and all(part.isidentifier() for part in package.split("."))):
            raise ShapeError(f"{module!r} is no import path", hint="package.module:Class")
        return tuple(shape), dtype

    def mask(self, *inputs: Value, shape: Shape, **_: Any) -> Value | None:
        """The first input's, if the answer has as many tokens."""
        same = inputs and len(shape) == len(inputs[0].shape) == 3 and tuple(shape[:2]) == inputs[0].shape[:2]
        return inputs[0].mask if same else None

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        """What is declared; 0 where nothing is, which `cost.coverage` lists."""
        return self._bound(op, "flops", shape)

    def backward(self, op: Op, shape: ShapeOf, wanted: Sequence[bool], trained: bool, fused: bool = True) -> Dim:
        return self.flops(op, shape) * (2 if trained else int(any(wanted)))

    def scratch(self, op: Op, shape: ShapeOf) -> Dim:
        return self._bound(op, "held", shape)

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)

    def make(self, torch: Any, op: Op) -> Any:
        a = op.attributes
        unusual = {} if a["trained"] else {"trained": False}
        return torch.runtime.opaque(a["module"], *([dict(a["arguments"])] if a["arguments"] else ()), **unusual)

    def _bound(self, op: Op, name: str, shape: ShapeOf) -> Dim:
        """A declared size, with the symbols bound as those of values are."""
        declared = op.attributes[name]
        return 0 if declared is None else shape(Value(name, (declared,), "f32", op.outputs[0].scope))[0]
