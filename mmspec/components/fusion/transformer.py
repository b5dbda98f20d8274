"""Transformer fusion, in a single stream or in several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from mmspec.components.attention.base import Attention
from mmspec.components.attention.dense import Full
from mmspec.components.attention.heads import Heads
from mmspec.components.fusion.base import AttentiveFusion, row_of
from mmspec.components.halting.by_stream import ByStream
from mmspec.components.positions.base import Layout
from mmspec.components.routers.base import Row
from mmspec.components.routers.dense import Dense
from mmspec.ir import Scope, ShapeError, Value


class TransformerFusion(AttentiveFusion):
    """Transformer blocks over all tokens in a row, or over streams that look at one another.

        single   X = [X_1 + t_1; X_2 + t_2; ...], t_i a trained vector for each stream
                 X = LN(X + Self(X)),  X = LN(X + FeedForward(X))
        multi    X_i = LN(X_i + Cross(X_i, [all other streams]))
                 X_i = LN(X_i + Self(X_i)),  X_i = LN(X_i + FeedForward(X_i)),  all streams at once

    In several streams, `joint.image` and `joint.text` are what became of each stream; `joint` is all of them in a row.

    Shapes   [B, N_i, D_i], ... -> [B, sum N_i, width]
    Raises   ShapeError: fewer than two streams, one that is not tokens, heads that do not divide the width
    Source   single: VisualBERT, arXiv:1908.03557; multi: LXMERT, arXiv:1908.07490, sec. 2.2 (cross-modality encoder)
    Differs  LXMERT shares one cross-attention between both directions; here each stream has its own

        joint: {type: transformer, from: [image, text], streams: multi, depth: 2}
    """

    type: Literal["transformer"] = "transformer"
    streams_: Literal["single", "multi"] = Field(
        "single", alias="streams", description="one row of tokens, or one stream for each modality"
    )

    attention: Attention = Field(
        default_factory=Full, description="which tokens of the row, or of each stream, see which among themselves"
    )

    def emit(self, g: Scope, *values: Value) -> Value | Mapping[str, Value]:
        streams = self.streams(g, values)
        if self.streams_ == "single":
            row = Row(row_of(streams).streams, self.attention.is_causal)
            how = Heads(self.heads, pattern=self.attention, layout=Layout(streams=row.streams))
            typed = [stream + g.parameter(f"{stream.name}_type", stream.width) for stream in streams]

            def block(g: Scope, x: Value) -> Value:
                return self.feed_forward(g, self.attend(g, "self_attention", x, x, how), row)

            fused: Value = self.stack(g, block, g.row(*typed).named("x"), class_name="SingleStreamBlock")
            return fused

        def readout(g: Scope, *streams: Value) -> Value:
            return g.row(*streams)

        if isinstance(self.halting, ByStream):
            for field in ("router", "attention_router"):
                if not isinstance(getattr(self, field), Dense):
                    message = "a stream that stops for itself is sent to its blocks like an expert, and has none itself"
                    raise ShapeError(message, field, hint=f"{field}: dense, or a halting policy with exits")
            streams = self.halting.stack(g, self.depth, streams, self.stream)
        else:
            streams = self.stack(g, self.multi_block, streams, class_name="MultiStreamBlock", readout=readout)
        return {"": g.row(*streams), **{value.name: stream for value, stream in zip(values, streams, strict=True)}}

    def multi_block(self, g: Scope, streams: tuple[Value, ...]) -> tuple[Value, ...]:
        updated = []
        for i, stream in enumerate(streams):
            others = streams[:i] + streams[i + 1 :]
            context = others[0] if len(others) == 1 else g.row(*others)
            updated.append(g.call(stream.name, "Stream", self.stream, stream, context))
        return tuple(updated)

    def stream(self, g: Scope, x: Value, context: Value) -> Value:
        x = self.attend(g, "cross_attention", x, context)
        x = self.attend(g, "self_attention", x, x, Heads(self.heads, pattern=self.attention))
        return self.feed_forward(g, x, Row(causal=self.attention.is_causal))
