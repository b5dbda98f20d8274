"""What a component cannot read: what was wanted, what was found."""

from __future__ import annotations

from mmspec.ir.graph import Value
from mmspec.ir.primitives import ShapeError, shape_text

KINDS = {2: "a vector", 3: "tokens", 4: "a map", 5: "a clip"}


def told(value: Value) -> str:
    """A value as a reader of specs knows it: tokens f32[B, 12, 24]."""
    kind = "a sound" if value.rate else KINDS.get(len(value.shape), "") if value.dtype == "f32" else ""
    if value.dtype == "i64" and value.bound:
        kind = "token ids"
    return f"{kind} {value.dtype}{shape_text(value.shape)}".strip()


def unreadable(reader: str, wanted: str, found: Value, hint: str = "") -> ShapeError:
    """The error of a node that is handed another kind of value than it reads."""
    return ShapeError(f"{reader} reads {wanted}, and this is {told(found)}", "from", hint=hint)
