"""All heads."""

from __future__ import annotations

from typing import Literal

from mmspec.components.head_policies.base import HeadPolicy


class EveryHead(HeadPolicy):
    """Every head is computed."""

    type: Literal["none"] = "none"
