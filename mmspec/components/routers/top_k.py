"""Sparse experts: each token goes to the k that its router favours."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.routers.sparse import SparseRouter
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.scope import Body


class TopK(SparseRouter):
    r"""Each token is sent to the k experts with the largest router probabilities, and their answers are mixed.

        p = softmax(W x)                        over all experts, in float32
        y = sum_{e in top_k(p)} p_e / (sum_{top_k} p) * expert_e(x)

    The balance loss keeps all experts in use: E * sum_e f_e P_e, where f_e is the share of tokens' choices that went to expert
    e and P_e its mean probability, over the tokens that are present; 1 when all are used alike (Switch, eq. 4, for k = 1).

    Shapes   [B, N, D] -> [B, N, D]
    Raises   ShapeError: k is larger than the number of experts
    Source   Mixtral of Experts, arXiv:2401.04088, sec. 2.1; Switch Transformers, arXiv:2101.03961, sec. 2.2; not normalised as in
             DeepSeekMoE, arXiv:2401.06066, eq. 3 and 4
    Differs  no capacity: no token is dropped

        router: {type: top_k, experts: 4, k: 2, balance: 0.01}
    """

    type: Literal["top_k"] = "top_k"
    k: PositiveInt = Field(2, description="how many of them each token meets")
    normalise: bool = Field(True, description="weigh by p_e over the sum of the k; if not, by p_e itself")

    def route(self, g: Scope, name: str, x: Value, network: Body, hidden: int) -> Value:
        if self.k > self.experts:
            raise ShapeError(f"each token cannot meet {self.k} of {self.experts} experts", "router.k")
        return self.send(g, name, x, network, hidden, k=self.k, normalise=self.normalise)
