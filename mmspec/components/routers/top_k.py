"""Sparse experts: each token goes to the k that its router favours."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from mmspec.components.routers.base import TokenRouter
from mmspec.ir import Init, Scope, ShapeError, Value
from mmspec.ir.scope import Body


class TopK(TokenRouter):
    r"""Each token is sent to the k experts with the largest router probabilities, and their answers are mixed.

        p = softmax(W x)                        over all experts, in float32
        y = sum_{e in top_k(p)} p_e / (sum_{top_k} p) * expert_e(x)

    The balance loss keeps all experts in use: E * sum_e f_e P_e, where f_e is the share of tokens' choices that went to expert
    e and P_e its mean probability, over the tokens that are present; 1 when all are used alike (Switch, eq. 4, for k = 1).

    Shapes   [B, N, D] -> [B, N, D]
    Raises   ShapeError: k is larger than the number of experts
    Source   Mixtral of Experts, arXiv:2401.04088, sec. 2.1; Switch Transformers, arXiv:2101.03961, sec. 2.2
    Differs  no capacity: no token is dropped

        router: {type: top_k, experts: 4, k: 2, balance: 0.01}
    """

    type: Literal["top_k"] = "top_k"
    experts: PositiveInt = Field(4, description="how many feed-forward networks there are")
    k: PositiveInt = Field(2, description="how many of them each token meets")
    balance: NonNegativeFloat = Field(0.01, description="weight of the loss that keeps all experts in use")

    def route(self, g: Scope, name: str, x: Value, network: Body, hidden: int) -> Value:
        if self.k > self.experts:
            raise ShapeError(f"each token cannot meet {self.k} of {self.experts} experts", "router.k")

        def mixture(g: Scope, x: Value) -> Value:
            logits = g.linear("router", x, self.experts, bias=False, init=Init("normal", 0.02))
            return g.experts(
                "experts", self.experts, network, x, logits,
                k=self.k, balance=self.balance, arguments={"width": x.width, "hidden": hidden},
            )  # fmt: skip

        arguments = {"width": x.width, "experts": self.experts, "k": self.k, "hidden": hidden}
        doc = f"Each token meets {self.k} of {self.experts} experts."
        y: Value = g.call(name, "MixtureOfExperts", mixture, x, arguments=arguments, doc=doc)
        return y
