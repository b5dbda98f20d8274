"""A few tokens see everything; the others see their surroundings and them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.attention.base import Attention, mixed
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, Value


class GlobalTokens(Attention):
    """The first `tokens` see all and are seen by all; the others see, beside them, those next to themselves.

        n sees m where n < tokens, or m < tokens, or |n - m| <= size

    Computed as a window with the global tokens' keys before every block's, and full attention for the global queries. Class tokens
    and registers are global as well; a grid is read row by row.

    Shapes   [B, h, N, d] -> [B, h, N, d];  2 N tokens + 3 N size products of d channels per head
    Source   Longformer, arXiv:2004.05150, sec. 3.1 (global + sliding window)
    Differs  Longformer has projections of its own for global attention; here one set serves both

        text: {type: text_transformer, attention: {type: global, tokens: 1, size: 64}}
    """

    type: Literal["global"] = "global"
    tokens: PositiveInt = Field(1, description="tokens at the front that see all and are seen by all")
    size: PositiveInt = Field(64, description="how far the others see on either side")

    def mix(
        self,
        g: Scope,
        query: Value,
        key: Value,
        value: Value,
        layout: Layout,
        mask: Value | None = None,
        bias: Value | None = None,
        scale: float | None = None,
    ) -> Value:
        said = {"size": self.size, "dilation": 1, "first": layout.prefix + self.tokens, "causal": False, "scale": scale}
        return mixed(g, "local_attention", query, key, value, {"mask": mask, "bias": bias}, **said)
