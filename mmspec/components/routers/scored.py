"""What routers have in common that score their experts: logits, a choice, copies of a network, the sum of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from mmspec.components.attention.modalities import place
from mmspec.components.routers.base import Expert, Row, TokenRouter
from mmspec.ir import Dim, Init, Scope, ShapeError, Value
from mmspec.ir.functions import pool, rearrange, softmax


@dataclass(frozen=True)
class Decision:
    """Who is asked, i64[..., k], and what the answers weigh, [..., k]. `room`: tokens of a sequence that an expert takes at most,
    where some choices may then be nobody's; `sent`: how many rows are computed, where it is not one for each choice; `met`: experts
    that a token meets, where it is not k."""

    choice: Value
    weights: Value
    room: Dim | None = None
    sent: Dim | None = None
    met: int = 0


class ScoredRouter(TokenRouter):
    """Experts with scores: p = softmax(W x) over all of them, in float32 whatever the precision around it."""

    only_tokens: ClassVar[bool] = False  # whether a choice is one among the tokens of a sequence
    experts: PositiveInt = Field(4, description="how many networks there are")
    z_loss: NonNegativeFloat = Field(
        0.0, description="weight of the loss that keeps logits small: the mean of logsumexp squared (arXiv:2202.08906)"
    )
    placement: tuple[NonNegativeInt, ...] = Field(
        (),
        description="the device of each expert, by number; the rest of the model stands on device 0, as all do by default",
    )
    jitter: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="what the router sees times a random number so near 1, in training (arXiv:2101.03961)",
    )

    def decide(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        """[..., experts] -> a choice; adds its losses to the scope."""
        raise NotImplementedError

    @property
    def said(self) -> str:
        """What a token meets, for the module's docstring."""
        return f"Each token meets {self.experts} experts."

    def route(self, g: Scope, name: str, x: Value, expert: Expert, row: Row) -> Value:
        self.check(g, x, row)

        def mixture(g: Scope, x: Value) -> Value:
            return self.mixed(g, self.logits(g, x, row), expert, x.mask, x)

        arguments = {"width": x.width, "experts": self.experts, **expert.arguments}
        y: Value = g.call(name, "MixtureOfExperts", mixture, x, arguments=arguments, doc=self.said)
        return y

    def check(self, g: Scope, x: Value, row: Row) -> None:
        """Raises ShapeError: it cannot stand among these tokens"""

    def route_samples(self, g: Scope, name: str, expert: Expert, *values: Value, seen: int = 1) -> Value:
        if self.only_tokens:
            return super().route_samples(g, name, expert, *values, seen=seen)
        self.check(g, values[0], Row())

        def mixture(g: Scope, *values: Value) -> Value:
            pooled = [pool(value, "mean") for value in values[:seen]]
            told = pooled[0] if seen == 1 else g.emit("concat", *pooled, axis=-1)
            return self.mixed(g, self.logits(g, told.named("pooled"), Row()), expert, None, *values)

        arguments = {"width": values[0].width, "experts": self.experts, **expert.arguments}
        doc = self.said.replace("token", "sample")
        y: Value = g.call(name, f"Routed{expert.class_name}", mixture, *values, arguments=arguments, doc=doc)
        return y

    def logits(self, g: Scope, x: Value, row: Row) -> Value:
        """[..., D] -> [..., experts].   Raises ShapeError"""
        seen = g.emit("jitter", x, name="jitter", amount=self.jitter) if self.jitter else x
        sizes = {"width": self.experts, "bias": False, "init": Init("normal", 0.02)}
        return g.emit("router_logits", seen, name="router", **sizes).named("logits")

    def mixed(self, g: Scope, logits: Value, expert: Expert, mask: Value | None, x: Value, *others: Value) -> Value:
        """What the chosen experts answer, weighed: [B, N, D] -> [B, N, D]"""
        if self.placement and len(self.placement) != self.experts:
            message = f"{self.experts} experts are placed on {len(self.placement)} devices: each has one"
            raise ShapeError(message, "router.placement", hint=f"placement: {[i % 2 for i in range(self.experts)]}")
        if self.z_loss:
            g.loss("z_loss", logits, mask, weight=self.z_loss)
        found = self.decide(g, logits, mask)
        answers = g.experts(
            "experts", expert.kinds or expert.body, found.choice, x, *others, count=self.experts, met=found.met,
            sent=found.sent, room=found.room, placement=self.placement, class_names=expert.kind_names, arguments=expert.arguments,
        ).named("answers")  # fmt: skip
        self.compared(g, answers, x.mask, len(found.choice.shape) == 3)
        y = g.emit("mixture", answers, found.weights)
        y.mask = x.mask if y.shape[1] == x.shape[1] else None
        return y

    def compared(self, g: Scope, answers: Value, mask: Value | None, token_by_token: bool) -> None:
        """Add a loss of what several experts answered to one token, where there is one.   [B, N, k, D] or [B, k, N, D]"""


class DiverseRouter(ScoredRouter):
    """A scored router that asks several experts for each token, who had better not say the same."""

    diversity: NonNegativeFloat = Field(
        0.0,
        description="weight of the loss that keeps experts apart: the mean squared cosine of their answers to a token",
    )

    def compared(self, g: Scope, answers: Value, mask: Value | None, token_by_token: bool) -> None:
        if not self.diversity:
            return
        if not token_by_token:
            answers = rearrange(answers, "b k n d -> b n k d")
        if answers.shape[2] == 1:
            message = "one answer has no other to differ from: each token meets a single expert"
            raise ShapeError(message, "router.diversity", hint="k at least 2, or diversity 0")
        g.loss("diversity", answers, mask, weight=self.diversity)


class BalancedRouter(ScoredRouter):
    """A scored router that sends each token to few experts, which have to be kept in use."""

    balance: NonNegativeFloat = Field(
        0.01, description="weight of the loss that keeps all experts in use, by their load"
    )
    importance: NonNegativeFloat = Field(
        0.0,
        description="weight of the loss that keeps them in use by the variance of what they weigh (arXiv:1701.06538)",
    )

    def balanced(self, g: Scope, probabilities: Value, choice: Value, weights: Value, mask: Value | None) -> None:
        """Add the losses by load and by importance."""
        if self.balance:
            g.loss("load_balance", probabilities, choice, mask, weight=self.balance)
        if self.importance:
            g.loss("importance", weights, choice, mask, experts=self.experts, weight=self.importance)


class SeesModalities(ScoredRouter):
    """A scored router that may look at which modality of a fused row a token belongs to."""

    input: Literal["content", "modality", "both"] = Field(
        "content", description="what it looks at: a token itself, or which modality of a fused row it belongs to"
    )

    def route_samples(self, g: Scope, name: str, expert: Expert, *values: Value, seen: int = 1) -> Value:
        if self.input != "content":
            raise ShapeError("a sample has all modalities: only its content tells where to send it", "router.input")
        return super().route_samples(g, name, expert, *values, seen=seen)

    def logits(self, g: Scope, x: Value, row: Row) -> Value:
        if self.input == "content":
            return super().logits(g, x, row)
        table = g.parameter("modality", max(1, len(row.streams)), self.experts)  # a score of each expert for each
        scores = g.emit("lookup", modality_of(g, x, row, "router.input"), table)
        scores.mask = x.mask
        return (super().logits(g, x, row) + scores if self.input == "both" else scores).named("logits")


def chances(logits: Value) -> Value:
    """[..., experts] -> [..., experts]"""
    return softmax(logits).named("probabilities")


def modality_of(g: Scope, x: Value, row: Row, field: str) -> Value:
    """The number of each token's modality.   [B, N, D] -> i64[B, N].   Raises ShapeError: there is only one"""
    if len(row.streams) < 2:
        hint = "a fusion of type transformer (streams: single) or concat puts several in a row"
        raise ShapeError("there are no modalities to tell apart in this row of tokens", field, hint=hint)
    sizes = [size for _, size in row.streams]
    try:
        starts = tuple(place(sizes, i) for i in range(len(sizes)))
    except ShapeError as error:
        error.field = field
        raise
    return g.emit("stream_of", x, starts=starts).named("modality")
