"""A fusion whose first stream looks at contexts, or at a few tokens of each."""

from __future__ import annotations

from pydantic import Field

from mmspec.components.fusion.base import AttentiveFusion
from mmspec.components.selection.base import Selection
from mmspec.components.selection.everything import Everything
from mmspec.ir import Scope, Value


class SelectingFusion(AttentiveFusion):
    """A fusion whose first stream looks at others through attention heads, perhaps at some of their tokens only."""

    selection: Selection = Field(
        default_factory=Everything, description="which tokens of the other streams are looked at"
    )

    def selected(self, g: Scope, x: Value, *contexts: Value) -> tuple[Value, ...]:
        return tuple(self.selection.select(g, f"select_{context.name}", x, context) for context in contexts)
