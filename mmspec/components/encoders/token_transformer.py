"""Transformer over the tokens that another node gives."""

from __future__ import annotations

from typing import Literal

from mmspec.components.blocks.over_tokens import OverTokens
from mmspec.components.blocks.pruned import PrunableStack
from mmspec.spec import Encoder


class TokenTransformer(OverTokens, PrunableStack, Encoder):
    """Transformer blocks over a row of tokens that another node has made, such as one for each frame of a video.

    After an encoder of frames by themselves this is the second half of a factorised encoder. With a second source, each block
    looks at that, too, between its attention and its feed-forward.

    Shapes   f32[B, N, D] and perhaps f32[B, M, E] -> f32[B, N, width]; with a class token the port f32[B, width]
    Raises   ShapeError: a source is no tokens; heads do not divide the width; a class token that would see nothing
    Source   ViViT, arXiv:2103.15691, sec. 3.3, model 2 (with a class token)

        clip: {type: token_transformer, from: frames, width: 128, depth: 2, heads: 4}
    """

    type: Literal["token_transformer"] = "token_transformer"
