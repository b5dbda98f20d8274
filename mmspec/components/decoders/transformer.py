"""A transformer over tokens that are there already."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmspec.components.attention.base import Attention
from mmspec.components.attention.dense import Causal
from mmspec.components.blocks.halting import HaltingStack
from mmspec.components.fusion.base import adapted
from mmspec.components.positions.base import SEQUENCE
from mmspec.ir import Scope, ShapeError, Value, told
from mmspec.spec import Decoder


class TransformerDecoder(HaltingStack, Decoder):
    """Tokens of any node through transformer blocks: what a language model does after its embedding. Tokens of another width are
    projected first. With a second source, each block looks at that, too, between its attention and its feed-forward.

    Shapes   f32[B, N, D] and perhaps f32[B, M, E] -> f32[B, N, width]
    Raises   ShapeError: a source is no tokens; heads do not divide the width
    Source   Attention Is All You Need, arXiv:1706.03762; LLaMA, arXiv:2302.13971, with rms norms, rotary positions and SwiGLU

        language: {type: transformer, from: joint, width: 128, depth: 2, heads: 4}
    """

    type: Literal["transformer"] = "transformer"
    attention: Attention = Field(default_factory=Causal, description="which tokens see which")

    def emit(self, g: Scope, *sources: Value) -> Value:
        for value in sources:
            if len(value.shape) != 3 or value.dtype != "f32":
                raise ShapeError(f"a transformer reads tokens, and {value.name} is {told(value)}", "from")
        x, *context = sources
        if len(context) > 1:
            message = "a transformer looks at one context at most"
            raise ShapeError(message, "from", hint="a fusion of type concat puts several in a row")
        return self.tokens(g, adapted(g, x, self.width), SEQUENCE, context=tuple(context))
