"""What a head policy decides: which heads of attention are computed for a sample."""

from __future__ import annotations

from typing import ClassVar

from mmspec.spec import Component


class HeadPolicy(Component):
    """Which heads of attention are computed for a sample."""

    role: ClassVar[str] = "head_policy"

    def chosen(self, heads: int) -> int | None:
        """How many of them; None: all.   Raises ShapeError"""
        return None
