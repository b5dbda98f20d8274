"""The primitive operations, about thirty: each with a shape rule, a cost rule and a torch lowering."""

from mmspec.ir.primitives import attention, control, layers, losses, pointwise, tokens  # noqa: F401  (each registers its own)
from mmspec.ir.primitives.base import PRIMITIVES, Primitive, ShapeError, shape_text

__all__ = ["PRIMITIVES", "Primitive", "ShapeError", "shape_text"]
