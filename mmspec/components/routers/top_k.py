"""Sparse experts: each token goes to the k that its router favours."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from mmspec.components.routers.base import Expert, Row
from mmspec.components.routers.capacity import seats
from mmspec.components.routers.scored import BalancedRouter, Decision, DiverseRouter, SeesModalities, chances
from mmspec.ir import Init, Scope, ShapeError, Value


class TopK(BalancedRouter, DiverseRouter, SeesModalities):
    r"""Each token is sent to the k experts with the largest router probabilities, and their answers are mixed.

        p = softmax(W x)                        over all experts, in float32
        y = sum_{e in top_k(p)} p_e / (sum_{top_k} p) * expert_e(x)
        y = y + sum_i shared_i(x)               with `shared` experts, which every token meets
        p = softmax(W x + n * softplus(V x))    in training with `noise`, n normal

    Losses, over the tokens that are present:
    balance      E * sum_e f_e P_e, f_e the share of tokens' choices that went to expert e and P_e its mean probability; 1 when all
                 are used alike (Switch, eq. 4, for k = 1)
    importance   CV(I)^2, I_e the sum of what e's answers weigh, the coefficient of variation over the experts
    z_loss       mean of (log sum_e exp (W x)_e)^2
    diversity    mean squared cosine between two experts' answers to one token (ours)

    Shapes   [B, N, D] -> [B, N, D]
    Raises   ShapeError: k is larger than the number of experts
    Source   Mixtral of Experts, arXiv:2401.04088, sec. 2.1; balance: Switch Transformers, arXiv:2101.03961, sec. 2.2; not
             normalised, shared experts: DeepSeekMoE, arXiv:2401.06066, eq. 3, 4 and 9; noise, importance: Outrageously Large
             Neural Networks, arXiv:1701.06538, eq. 4, 6 and 7; z_loss: ST-MoE, arXiv:2202.08906, eq. 5
    Differs  no token is dropped unless there is a capacity_factor, whose capacity is that of the longest text and each sequence's
             own; the papers' noisy gates are a softmax over the k largest, ours over all

        router: {type: top_k, experts: 4, k: 2, balance: 0.01}
    """

    type: Literal["top_k"] = "top_k"
    k: PositiveInt = Field(2, description="how many of them each token meets")
    normalise: bool = Field(True, description="weigh by p_e over the sum of the k; if not, by p_e itself")
    shared: NonNegativeInt = Field(0, description="further experts, which every token meets, unweighed")
    noise: bool = Field(False, description="normal noise of a trained size on the logits, in training")
    capacity_factor: PositiveFloat | None = Field(
        None,
        description="an expert takes so many times its even share of the longest sequence's choices; all by default",
    )

    @property
    def said(self) -> str:
        return f"Each token meets {self.k} of {self.experts} experts."

    def check(self, g: Scope, x: Value, row: Row) -> None:
        if self.k > self.experts:
            raise ShapeError(f"each token cannot meet {self.k} of {self.experts} experts", "router.k")

    def route(self, g: Scope, name: str, x: Value, expert: Expert, row: Row) -> Value:
        self.check(g, x, row)

        def mixture(g: Scope, x: Value) -> Value:
            y = self.mixed(g, self.logits(g, x, row), expert, x.mask, x)
            for i in range(self.shared):
                y = y + g.call(f"shared_{i}", expert.class_name, expert.body, x, arguments=expert.arguments)
            return y

        arguments = {"width": x.width, "experts": self.experts, "k": self.k, **expert.arguments}
        y: Value = g.call(name, "MixtureOfExperts", mixture, x, arguments=arguments, doc=self.said)
        return y

    def route_samples(self, g: Scope, name: str, expert: Expert, *values: Value, seen: int = 1) -> Value:
        self.check(g, values[0], Row())
        for field, given in (("shared", self.shared), ("capacity_factor", self.capacity_factor)):
            if given:
                raise ShapeError(f"a router of samples has no {field}", f"router.{field}")
        return super().route_samples(g, name, expert, *values, seen=seen)

    def logits(self, g: Scope, x: Value, row: Row) -> Value:
        logits = super().logits(g, x, row)
        if not self.noise:
            return logits
        spread = g.emit("router_logits", x, name="spread", width=self.experts, bias=False, init=Init("zeros"))
        return g.emit("noise", logits, spread, name="noise").named("noisy")

    def decide(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        if self.k == 1 < self.experts and self.normalise:
            said = "a token's only expert weighs 1, and the router learns by its balance loss alone; normalise: false weighs it"
            g.note(f"{g.path}router: {said}")
        p = chances(logits)
        choice = g.emit("choose", p, name="choose", k=self.k).named("choice")
        weights = g.emit("weights_of", p, choice, normalise=self.normalise, nobody=False).named("weights")
        self.balanced(g, p, choice, weights, mask)
        if self.capacity_factor is None:
            return Decision(choice, weights)
        capacity = seats(self.capacity_factor, g.limit(logits.tokens) * self.k, self.experts)
        choice = g.emit("admit", choice, name="admit", experts=self.experts, capacity=capacity).named("admitted")
        return Decision(choice, weights, capacity)
