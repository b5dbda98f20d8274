"""A transformer over tokens that are there already."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmspec.components.attention.base import Attention
from mmspec.components.attention.dense import Causal
from mmspec.components.blocks.over_tokens import OverTokens
from mmspec.spec import Decoder


class TransformerDecoder(OverTokens, Decoder):
    """Tokens of any node through transformer blocks: what a language model does after its embedding. Tokens of another width are
    projected first. With a second source, each block looks at that, too, between its attention and its feed-forward.

    Shapes   f32[B, N, D] and perhaps f32[B, M, E] -> f32[B, N, width]; with a class token the port f32[B, width]
    Raises   ShapeError: a source is no tokens; heads do not divide the width; a class token that would see nothing
    Source   Attention Is All You Need, arXiv:1706.03762; LLaMA, arXiv:2302.13971, with rms norms, rotary positions and SwiGLU

        language: {type: transformer, from: joint, width: 128, depth: 2, heads: 4}
    """

    type: Literal["transformer"] = "transformer"
    attention: Attention = Field(default_factory=Causal, description="which tokens see which")
