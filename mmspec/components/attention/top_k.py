"""A token sees those that score best."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.attention.base import Attention, mixed
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, Value


class TopK(Attention):
    """Explicit sparse attention: softmax over the k largest scores of each query, nothing for the others.

        s = q k^T / sqrt(d),   t_n the k-th largest of s_n,   y_n = softmax(s_nm where s_nm >= t_n) v

    Which scores are the largest is known once all are computed: the price is that of full attention.

    Shapes   [B, h, N, d] -> [B, h, N, d];  N^2 products of d channels per head
    Source   Explicit Sparse Transformer, arXiv:1912.11637, eq. 7 and 8

        text: {type: text_transformer, attention: {type: top_k, k: 8}}
    """

    type: Literal["top_k"] = "top_k"
    k: PositiveInt = Field(8, description="keys that each query keeps; equal scores are kept together")
    causal: bool = Field(False, description="only itself and what stands before it")

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
        said = {"k": self.k, "causal": self.causal, "scale": scale}
        return mixed(g, "top_k_attention", query, key, value, {"mask": mask, "bias": bias}, **said)
