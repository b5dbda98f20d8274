"""A token sees every n-th token."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from mmspec.components.attention.base import Attention, mixed
from mmspec.components.attention.window import check_tiles
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value


class Dilated(Attention):
    """Attention with gaps: a token sees those that are a multiple of `dilation` away.

        in a row    n sees m where n = m modulo dilation, and |n - m| <= dilation size where a size is given
        on a grid   the same along each axis

    Computed phase by phase, a phase being the tokens that see each other: of all pairs of tokens one in `dilation` (in
    `dilation`^axes on a grid) is computed; with a size, blocks as in `window`. Class tokens and registers see all and are seen by
    all.

    Shapes   [B, h, N, d] -> [B, h, N, d];  N^2 / dilation or 3 N size products of d channels per head
    Raises   ShapeError: the dilation does not divide a side of the grid; a causal pattern or a size on a grid
    Source   Sparse Transformer, arXiv:1904.10509, sec. 4.3 (the strided head); with a size the dilated sliding window of
             Longformer, arXiv:2004.05150, sec. 3.1; on grids the grid attention of MaxViT, arXiv:2204.01697, sec. 3.2
    Differs  the Sparse Transformer's other head, a causal window, is `window`

        text: {type: text_transformer, attention: {type: dilated, dilation: 4, size: 32}}
    """

    type: Literal["dilated"] = "dilated"
    dilation: PositiveInt = Field(2, description="the distance between tokens that see each other")
    size: PositiveInt | None = Field(None, description="how many of them on either side; all by default")
    causal: bool = Field(False, description="only itself and what stands before it; rows only")

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
        given = {"mask": mask, "bias": bias}
        said: dict[str, Any] = {"first": layout.prefix, "causal": self.causal, "scale": scale}
        if layout.grid is None and self.size is not None:
            said |= {"size": self.size, "dilation": self.dilation}
            return mixed(g, "local_attention", query, key, value, given, **said)
        if layout.grid is not None:
            check_tiles(layout.grid, self.dilation, self.causal, "dilations", "dilation")
            if self.size is not None:
                hint = "leave `size` out: on a grid all tokens of a phase see each other"
                raise ShapeError("dilated attention on a grid has no size", "attention.size", hint=hint)
        said |= {"size": self.dilation, "strided": True, "sides": layout.grid or ()}
        return mixed(g, "group_attention", query, key, value, given, **said)
