"""The tokens that a scorer prefers."""

from __future__ import annotations

from typing import Literal

from mmspec.components.selection.base import SelectK
from mmspec.ir import Scope, Value
from mmspec.ir.functions import sigmoid, tanh


class Learned(SelectK):
    r"""The stream looks at the k tokens of the context that a small network prefers for it.

        s_j = v^T tanh(W c_j + U mean_n x_n)
        C'  = [sigmoid(s_j) c_j for the k largest s_j], in their order

    The weight is how the scorer trains: what is selected and did not help is made smaller, until another takes its place. It is
    chosen once, before the first block: keys, values and scores of all blocks are computed for k tokens only.

    Shapes   [B, N, D], [B, M, D] -> [B, k, D], absent where there are fewer than k
    Raises   ShapeError: k larger than the number of tokens
    Source   Mixture-of-Depths, arXiv:2404.02258 (top-k tokens weighted by their scores); the scorer is additive
             attention, arXiv:1409.0473
    Differs  the weight is a sigmoid; the scorer also reads the stream that asks

        joint: {type: gated, from: [image, text], selection: {type: learned, k: 4}}
    """

    type: Literal["learned"] = "learned"

    def scores(self, g: Scope, asking: Value, context: Value) -> Value:
        judged = g.linear("judge", context, context.width, bias=False) + g.linear("ask", asking, context.width)
        return g.linear("score", tanh(judged), 1, bias=False)

    def weighed(self, g: Scope, chosen: Value, scores: Value, numbers: Value) -> Value:
        weights = sigmoid(g.emit("picked", scores, numbers)).named("weights")
        return chosen * weights
