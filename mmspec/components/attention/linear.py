"""Attention without a matrix of scores."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from mmspec.components.attention.base import Attention, mixed
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value


class Linear(Attention):
    r"""Kernel attention: the exponential of a product becomes a product of features, and the sum over keys is taken once for all
    queries.

        y_n = phi(q_n)^T sum_m phi(k_m) v_m^T  /  phi(q_n)^T sum_m phi(k_m),     phi(x) = elu(x) + 1

    Causal, the sums are over m <= n: whole chunks of 64 tokens that lie before in one product, the own chunk in a small square. The
    price grows with the number of tokens and not with its square.

    Shapes   [B, h, N, d] -> [B, h, N, d];  2 N d products of d channels per head, causal 2 N d + 2 N 64
    Raises   ShapeError: positions that bias scores, or a scale of scores: there are no scores
    Source   Transformers are RNNs, arXiv:2006.16236, eq. 5 and 7; causal eq. 9

        text: {type: text_transformer, attention: linear, position: rotary}
    """

    type: Literal["linear"] = "linear"
    causal: bool = Field(False, description="only itself and what stands before it, in the order of the row")
    CHUNK: ClassVar[int] = 64

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
        if bias is not None:
            hint = "learned, sinusoidal and rotary positions need none"
            raise ShapeError("linear attention has no scores that positions could bias", "position", hint=hint)
        if scale is not None:
            raise ShapeError("linear attention has no scores that could be scaled", "attention_scale")
        chunk = self.CHUNK if self.causal else None
        return mixed(g, "linear_attention", query, key, value, {"mask": mask}, causal=self.causal, chunk=chunk)
