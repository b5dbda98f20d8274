"""The tokens that are important enough stay."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmspec.components.pruning.base import AtBlocks
from mmspec.ir import Scope, Value


class Threshold(AtBlocks):
    r"""After the attention of some blocks the tokens stay that are attended to enough; how many depends on the sample.

        a   = mean over heads of softmax(q_0 K^T / sqrt(d))       q_0 the class token's query; the mean query where there is none
        X'  = [X_0; X_i where a_i > threshold mean_j a_j]

    Later blocks work on rows as long as the longest of the batch, and what a sample lacks is masked: it is answered alone as in
    company. The stack gives out as many tokens as it was given: those that stayed in front, then absent ones. The price is
    that of a sample that keeps all. An exported file has sizes that are known: it masks what has left, answers the same and
    saves nothing.

    Shapes   [B, N, D] -> [B, N, D] with a mask
    Raises   ShapeError: a block after the last; attention or positions need every token in its place
    Source   Learned Token Pruning, arXiv:2107.00910 (a threshold on the attention that tokens get); the score is EViT's,
             arXiv:2202.07800
    Differs  the threshold is given, and relative to the mean

        image: {type: vit, depth: 12, class_token: true, pruning: {type: threshold, blocks: [4, 7, 10], threshold: 0.5}}
    """

    type: Literal["threshold"] = "threshold"
    threshold: float = Field(0.5, gt=0, lt=1, description="of the mean importance, below which a token is left out")

    def streams(self, g: Scope, x: Value) -> tuple[Value, ...]:
        if x.mask is None:
            x.mask = g.emit("all_present", x).named("mask")
        return x, x.mask

    def prune(self, g: Scope, x: Value, importance: Value, front: int) -> Value:
        assert x.mask is not None
        said = {"threshold": self.threshold, "front": front}
        numbers = g.emit("keep_above", importance, x.mask, name="keep", **said).named("numbers")
        kept = g.emit("picked", x, numbers).named("x")
        kept.mask = g.emit("are_picked", numbers, x).named("kept_mask")
        return kept

    def finished(self, g: Scope, y: Value, x: Value) -> Value:
        assert y.mask is not None
        whole = g.emit("filled_up", y, y.mask, x).named("tokens")
        whole.mask = g.emit("filled_up_mask", y.mask, x).named("tokens_mask")
        return whole
