"""A fixed share of the tokens stays."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import Field

from mmspec.components.pruning.base import AtBlocks
from mmspec.ir import Scope, ShapeError, Value


class Ratio(AtBlocks):
    r"""After the attention of some blocks a share of the tokens stays, those that are attended to most.

        a   = mean over heads of softmax(q_0 K^T / sqrt(d))       q_0 the class token's query; the mean query where there is none
        X'  = [X_0; X_i for the ceil(keep n) largest of the n a_i; sum over the others of a_i X_i if `fuse`]

    Class tokens and registers always stay, and tokens keep their order. In a text it is a share of the tokens that are present, so
    that a text is answered alone as it is in company. The attention of one query is computed once more: 2 N width FLOPs.

    Shapes   [B, N, D] -> [B, front + ceil(keep (N - front)) + 1 if `fuse`, D]
    Raises   ShapeError: a block after the last; nothing is left to choose; attention or positions need every token in its place
    Source   EViT: Not All Patches are What You Need, arXiv:2202.07800
    Differs  the paper always has a class token

        image: {type: vit, depth: 12, class_token: true, pruning: {type: ratio, blocks: [4, 7, 10], keep: 0.7}}
    """

    type: Literal["ratio"] = "ratio"
    keep: float = Field(0.7, gt=0, lt=1, description="share of the tokens that stay, each time")
    fuse: bool = Field(False, description="the tokens that are left out go on as one, weighted by their importance")

    def prune(self, g: Scope, x: Value, importance: Value, front: int) -> Value:
        share = Fraction(self.keep).limit_denominator(1000)
        if not share:
            raise ShapeError(f"a share of {self.keep} keeps no token", "pruning.keep", hint="0.001 is the least")
        if x.tokens == front:
            raise ShapeError("there are no tokens to choose among", "pruning")
        given = () if x.mask is None else (x.mask,)
        numbers = g.emit("keep", importance, *given, name="keep", share=share, front=front).named("numbers")
        kept = g.emit("picked", x, numbers).named("x")
        if x.mask is not None:
            kept.mask = g.emit("are_picked", numbers, x).named("kept_mask")
        if not self.fuse:
            return kept
        others = g.emit("rest", x, importance, numbers).named("rest")
        if x.mask is not None:
            others.mask = g.emit("any_present", x.mask).named("rest_mask")
        return g.row(kept, others).named("x")
