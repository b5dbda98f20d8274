"""What sparse routers share: copies of a network, and a linear layer that says which of them a token is sent to."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveInt

from mmspec.components.routers.base import TokenRouter
from mmspec.ir import Init, Scope, Value
from mmspec.ir.scope import Body


class SparseRouter(TokenRouter):
    """Which experts a token goes to."""

    experts: PositiveInt = Field(4, description="how many feed-forward networks there are")
    balance: NonNegativeFloat = Field(0.01, description="weight of the loss that keeps all experts in use")

    def send(
        self, g: Scope, name: str, x: Value, network: Body, hidden: int, *,
        k: int, normalise: bool = True, capacity: int | None = None,
    ) -> Value:  # fmt: skip
        """Each token to its k likeliest experts.   [..., D] -> [..., D]"""

        def mixture(g: Scope, x: Value) -> Value:
            logits = g.linear("router", x, self.experts, bias=False, init=Init("normal", 0.02))
            return g.experts(
                "experts", self.experts, network, x, logits, k=k, balance=self.balance, normalise=normalise, capacity=capacity,
                arguments={"width": x.width, "hidden": hidden},
            )  # fmt: skip

        arguments = {"width": x.width, "experts": self.experts, "k": k, "hidden": hidden}
        doc = f"Each token meets {k} of {self.experts} experts."
        y: Value = g.call(name, "MixtureOfExperts", mixture, x, arguments=arguments, doc=doc)
        return y
