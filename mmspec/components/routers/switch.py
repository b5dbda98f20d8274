"""Sparse experts with room for so many tokens: each token goes to one, while there is room."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.routers.sparse import SparseRouter
from mmspec.ir import Scope, Value
from mmspec.ir.scope import Body


class Switch(SparseRouter):
    r"""Each token is sent to the expert with the largest router probability, which takes the first `capacity` of a sequence's.

        p = softmax(W x),  e = argmax p         in float32
        y = p_e * expert_e(x)                   0 for a token that comes when expert e is full

    The balance loss is eq. 4: E * sum_e f_e P_e, f_e the share of tokens whose choice is e, P_e its mean probability.

    Shapes   [B, N, D] -> [B, N, D]
    Source   Switch Transformers, arXiv:2101.03961, sec. 2.1 and 2.2
    Differs  the paper shares the capacity among the sequences of a batch; here, as in the published checkpoints' code, each
             has its own, so that a text is answered alone as it is in company; no noise on the router's input in training;
             FLOPs are priced as if no token were dropped

        router: {type: switch, experts: 8, capacity: 64}
    """

    type: Literal["switch"] = "switch"
    capacity: PositiveInt | None = Field(None, description="tokens of a sequence that an expert takes; all by default")

    def route(self, g: Scope, name: str, x: Value, network: Body, hidden: int) -> Value:
        return self.send(g, name, x, network, hidden, k=1, normalise=False, capacity=self.capacity)
