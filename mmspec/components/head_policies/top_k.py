"""A few heads for each sample."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.head_policies.base import HeadPolicy
from mmspec.ir import ShapeError


class TopK(HeadPolicy):
    r"""In every block, the k heads that a linear policy favours for a sample are computed, and weighted by its probabilities.

        p = softmax(W mean_n x_n)                                   over all heads
        y = h sum_{i in top_k(p)} p_i Head_i(x) W_i^O + b           h heads, so that equal weights are those of plain attention

    Queries, keys, values, scores and the projection back are computed for k heads, in training too: the policy trains through the
    weights. The parameters are those of plain attention, and the policy.

    Shapes   [B, N, D] -> [B, N, D]
    Raises   ShapeError: k larger than the number of heads; shared key heads; positions or patterns that know heads by number
    Source   MoH: Multi-Head Attention as Mixture-of-Head Attention, arXiv:2410.11842; per sample as in AdaViT, arXiv:2111.15668
    Differs  MoH chooses for each token, has heads that are always on, and balances; here nothing is balanced

        image: {type: vit, heads: 4, head_policy: {type: top_k, k: 2}}
    """

    type: Literal["top_k"] = "top_k"
    k: PositiveInt = Field(2, description="heads that are computed for a sample")

    def chosen(self, heads: int) -> int | None:
        if self.k > heads:
            raise ShapeError(f"{self.k} of {heads} heads cannot be chosen", "head_policy.k")
        return self.k
