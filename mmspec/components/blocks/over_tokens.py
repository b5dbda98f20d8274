"""Transformer blocks over tokens that another node has made, as an encoder and as a decoder."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from mmspec.components.blocks.halting import HaltingStack
from mmspec.components.fusion.base import adapted
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value, told
from mmspec.ir.functions import part, rearrange


class OverTokens(HaltingStack):
    """Tokens of any node through transformer blocks; those of another width are projected first. With a second source, each block
    looks at that, too, between its attention and its feed-forward."""

    class_token: bool = Field(False, description="a trained token in front, which heads may read as `<node>.class`")

    def emit(self, g: Scope, *sources: Value) -> Value | Mapping[str, Value]:
        kind = self.type  # type: ignore[attr-defined]
        for value in sources:
            if len(value.shape) != 3 or value.dtype != "f32":
                raise ShapeError(f"a {kind} reads tokens, and {value.name} is {told(value)}", "from")
        x, *context = sources
        if len(context) > 1:
            message = f"a {kind} looks at one context at most"
            raise ShapeError(message, "from", hint="a fusion of type concat puts several in a row")
        if self.class_token and self.attention.is_causal:
            message = "a class token in front sees no other where attention is causal"
            raise ShapeError(message, "class_token", hint="pool: last reads the token that has seen all")
        x = adapted(g, x, self.width)
        if not self.class_token:
            return self.tokens(g, x, Layout(), context=tuple(context))
        y = self.tokens(g, g.prepend("class_token", 1, x), Layout(prefix=1), context=tuple(context))
        first = rearrange(part(y, 0, 1), "b n c -> b (n c)").named("class")
        return {"": y, "class": first, "tokens": part(y, 1).named("tokens")}
