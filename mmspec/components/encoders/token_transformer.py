"""Transformer over the tokens that another node gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from mmspec.components.blocks.pruned import PrunableStack
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part, rearrange
from mmspec.spec import Encoder


class TokenTransformer(PrunableStack, Encoder):
    """Transformer blocks over a row of tokens that another node has made, such as one for each frame of a video.

    After an encoder of frames by themselves this is the second half of a factorised encoder.

    Shapes   f32[B, N, D] -> f32[B, N, width]; with a class token the port f32[B, width]
    Raises   ShapeError: the input is no row of tokens; heads do not divide the width; a class token that would see nothing
    Source   ViViT, arXiv:2103.15691, sec. 3.3, model 2 (with a class token)

        clip: {type: token_transformer, from: frames, width: 128, depth: 2, heads: 4}
    """

    type: Literal["token_transformer"] = "token_transformer"
    class_token: bool = Field(False, description="a trained token in front, which heads may read as `clip.class`")

    def emit(self, g: Scope, tokens: Value) -> Value | Mapping[str, Value]:
        if len(tokens.shape) != 3 or tokens.dtype != "f32":
            raise ShapeError(f"a token_transformer reads tokens, and {tokens.name} is none", "from")
        x = tokens if tokens.width == self.width else g.linear("projection", tokens, self.width)
        if self.class_token and self.attention.is_causal:
            message = "a class token in front sees no other where attention is causal"
            raise ShapeError(message, "class_token", hint="pool: last reads the token that has seen all")
        if not self.class_token:
            return self.tokens(g, x, Layout())
        y = self.tokens(g, g.prepend("class_token", 1, x), Layout(prefix=1))
        first = rearrange(part(y, 0, 1), "b n c -> b (n c)").named("class")
        return {"": y, "class": first, "tokens": part(y, 1).named("tokens")}
