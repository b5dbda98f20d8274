"""The primitive operations, some fifty: each with a shape rule, a cost rule and a torch lowering."""

from mmspec.ir.primitives import (  # noqa: F401  (each registers its own)
    attention,
    chosen_heads,
    control,
    convolutions,
    deciding,
    layers,
    layout,
    losses,
    maps,
    norms,
    opaque,
    patterns,
    pointwise,
    pruning,
    routing,
    selection,
    sound,
    streams,
    tokens,
)
from mmspec.ir.primitives.base import PRIMITIVES, Primitive, ShapeError, shape_text

__all__ = ["PRIMITIVES", "Primitive", "ShapeError", "shape_text"]
