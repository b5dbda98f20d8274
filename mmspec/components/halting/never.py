"""No early exit."""

from __future__ import annotations

from typing import Literal

from mmspec.spec import Halting


class Never(Halting):
    """Every sample runs through the whole stack."""

    type: Literal["none"] = "none"
