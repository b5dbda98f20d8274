"""No selection."""

from __future__ import annotations

from typing import Literal

from mmspec.components.selection.base import Selection


class Everything(Selection):
    """Every token of the context is looked at."""

    type: Literal["none"] = "none"
