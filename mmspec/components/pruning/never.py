"""No pruning."""

from __future__ import annotations

from typing import Literal

from mmspec.components.pruning.base import Pruning


class KeepAll(Pruning):
    """Every token goes through all blocks."""

    type: Literal["none"] = "none"
