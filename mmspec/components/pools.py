"""How tokens become one vector. Absent tokens take no part."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.ir import Scope, ShapeError, Value, told
from mmspec.ir.functions import part, pool, rearrange, softmax, sum_tokens
from mmspec.spec import Pool


class TokenPool(Pool):
    """How tokens become one vector."""

    def emit(self, g: Scope, x: Value) -> Value:
        """[B, N, D] -> [B, D]"""
        raise NotImplementedError


class MeanPool(TokenPool):
    """The mean of the tokens that are present; zeros where none is."""

    type: Literal["mean"] = "mean"

    def emit(self, g: Scope, x: Value) -> Value:
        return pool(x, "mean")


class MaxPool(TokenPool):
    """The largest value of each channel over the tokens that are present; zeros where none is."""

    type: Literal["max"] = "max"

    def emit(self, g: Scope, x: Value) -> Value:
        return pool(x, "max")


class FirstToken(TokenPool):
    """The first token that is present; zeros where none is. With `count`, the mean of so many tokens in front, such as a class and
    a distillation token."""

    type: Literal["first"] = "first"
    count: PositiveInt = Field(1, description="how many tokens in front")

    def emit(self, g: Scope, x: Value) -> Value:
        if isinstance(x.tokens, int) and self.count > x.tokens:
            raise ShapeError(f"there are {x.tokens} tokens, not {self.count}", "pool.count")
        return pool(x, "first") if self.count == 1 else pool(part(x, 0, self.count), "mean")


class LastToken(TokenPool):
    """The last token that is present; zeros where none is."""

    type: Literal["last"] = "last"

    def emit(self, g: Scope, x: Value) -> Value:
        return pool(x, "last")


class TemporalPyramid(TokenPool):
    """The mean of equal spans of a sequence, at several scales, side by side: with scales 1, 2 and 4 that of the whole, of each
    half and of each quarter, so that a head can tell what came first. Absent tokens belong to no span.

    Shapes   [B, N, D] -> [B, sum(scales) D]
    Source   Temporal Pyramid Pooling, arXiv:1503.01224, sec. 3.2; Spatial Pyramid Pooling, arXiv:1406.4729
    Differs  means, where the papers take maxima
    """

    type: Literal["temporal_pyramid"] = "temporal_pyramid"
    scales: tuple[PositiveInt, ...] = Field((1, 2, 4), min_length=1, description="into how many spans, for each scale")

    def emit(self, g: Scope, x: Value) -> Value:
        spans = g.emit("span_means", x, *(() if x.mask is None else (x.mask,)), scales=self.scales)
        return rearrange(spans, "b s d -> b (s d)")


class AttentionPool(TokenPool):
    """A weighted mean, the weights from a trained score of each token:  sum_n softmax_n(w x_n) x_n.

    Source   Hierarchical Attention Networks for Document Classification, Yang et al. 2016, eq. 5 to 7
    Differs  the score is linear in x_n, without the paper's tanh layer
    """

    type: Literal["attention"] = "attention"

    def emit(self, g: Scope, x: Value) -> Value:
        score = g.linear("score", x, 1, bias=False)
        weight = softmax(score, axis=1, mask=x.mask).named("weight")
        return sum_tokens(weight * x)


class NoPool(TokenPool):
    """The value is a vector already."""

    type: Literal["none"] = "none"

    def emit(self, g: Scope, x: Value) -> Value:
        message = f"the head needs one vector, and this is {told(x)}"
        raise ShapeError(message, "pool", hint="pool may be mean, max, first, last or attention")
