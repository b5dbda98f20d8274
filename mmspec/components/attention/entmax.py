"""Each head learns how many tokens it sees."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmspec.components.attention.base import Attention, mixed
from mmspec.components.positions.base import Layout
from mmspec.ir import Init, Scope, Value


class Entmax(Attention):
    r"""Adaptively sparse attention: alpha-entmax, which gives exact zeros, in the place of softmax, with a learned alpha for each
    head.

        p = [(alpha - 1) s - tau]_+^(1 / (alpha - 1)),   tau such that p sums to one,   s = q k^T / sqrt(d)
        alpha = 1 + sigmoid(a), a trained for each head

    alpha near 1 is softmax, alpha near 2 is sparsemax; training starts at 1.5. Which weights are zero is known once all scores are
    computed: the price is that of full attention.

    Shapes   [B, h, N, d] -> [B, h, N, d], alpha [h];  N^2 products of d channels per head
    Source   Adaptively Sparse Transformers, arXiv:1909.00015, eq. 3, 4 and 9; tau by bisection, algorithm 1

        text: {type: text_transformer, attention: entmax}
    """

    type: Literal["entmax"] = "entmax"
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
        heads = query.shape[1]
        assert isinstance(heads, int)
        given = {"alpha": g.parameter("alpha", heads, init=Init("zeros")), "mask": mask, "bias": bias}
        return mixed(g, "entmax_attention", query, key, value, given, causal=self.causal, scale=scale)
