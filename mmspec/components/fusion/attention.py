"""Weights over modalities."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Literal

from mmspec.components.fusion.selecting import SelectingFusion
from mmspec.ir import Scope, Value
from mmspec.ir.functions import channel, concat, softmax, tanh


class AttentionFusion(SelectingFusion):
    """Each token of the first stream looks into every stream by itself, and a second attention weighs the streams.

        c_i = Attention_i(X, X_i)                         what each token sees in stream i, its own included
        e_i = v_i^T tanh(W X + U_i c_i)                   how much stream i matters to it
        Y   = sum_i softmax_i(e)_i c_i
        X'  = LN(X + Y),   X'' = LN(X' + FeedForward(X'))

    Shapes   [B, N, D], [B, M_i, D_i], ... -> [B, N, width]
    Raises   ShapeError: fewer than two streams, one that is not tokens, heads that do not divide the width
    Source   Attention Strategies for Multi-Source Sequence-to-Sequence Learning, arXiv:1704.06567, sec. 3.2 (hierarchical)
    Differs  the first stream is one of the sources; v is one vector for all sources there, one for each here; the second
             projection of c_i is attention's output projection

        joint: {type: attention, from: [image, text], depth: 2}
    """

    type: Literal["attention"] = "attention"

    def emit(self, g: Scope, *values: Value) -> Value:
        x, *contexts = self.streams(g, values)
        others = self.selected(g, x, *contexts)
        fused: Value = self.stack(g, self.block, x, *others, class_name="ModalityAttentionBlock")
        return fused

    def block(self, g: Scope, x: Value, *others: Value) -> Value:
        seen = [self.look(g, "self_attention", x, x).named("own")]
        seen += [self.look(g, f"{other.name}_attention", x, other).named(f"from_{other.name}") for other in others]
        asked = g.linear("ask", x, x.width)
        names = ["self", *(other.name for other in others)]  # no stream can bear the name "self"
        energies = [
            g.linear(f"score_{name}", tanh(asked + g.linear(f"judge_{name}", c, x.width, bias=False)), 1, bias=False)
            for name, c in zip(names, seen, strict=True)
        ]
        weights = softmax(concat(*energies)).named("weights")
        mixed = reduce(add, [channel(weights, i) * c for i, c in enumerate(seen)])
        x = g.norm("norm", x + g.dropout("dropout", mixed, self.dropout))
        return self.feed_forward(g, x)
