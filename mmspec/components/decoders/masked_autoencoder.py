"""Transformer that fills in the tokens that were masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mmspec.components.blocks.transformer import TransformerStack
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part, rearrange
from mmspec.spec import Decoder


class MaskedAutoencoder(TransformerStack, Decoder):
    """Tokens that were not masked back in their places, one trained vector in all other places, then positions and blocks.

        y_i = W x_(o_i) if patch i was kept, m otherwise

    The class tokens stay in front; without them, it is `<name>.patches`.

    Shapes   f32[B, K, E], order i64[B, rows, columns] -> f32[B, N, width]; port f32[B, rows * columns, width]
    Raises   ShapeError: `from` is not the tokens and the order of a masked encoder
    Source   Masked Autoencoders Are Scalable Vision Learners, arXiv:2111.06377, sec. 3

        rest: {type: masked_autoencoder, from: [image, image.order], width: 512, depth: 8, heads: 16}
    """

    type: Literal["masked_autoencoder"] = "masked_autoencoder"

    def emit(self, g: Scope, x: Value, order: Value | None = None) -> Mapping[str, Value]:
        if order is None or order.dtype != "i64" or len(order.shape) != 3 or len(x.shape) != 3:
            message = "a masked_autoencoder reads the tokens that are left and the order of all"
            raise ShapeError(message, "from", hint="from: [image, image.order], and `masked: 0.75` in the encoder")
        rows, columns = order.shape[1:]
        assert isinstance(rows, int) and isinstance(columns, int)
        prefix = order.bound - rows * columns  # what stands in front has the first numbers
        embedded = g.linear("embed", x, self.width, self.bias).named("embedded")
        absent = g.parameter("mask_token", 1, self.width)
        y = g.emit("restore", embedded, rearrange(order, "b h w -> b (h w)"), absent).named("restored")
        if prefix:
            y = g.row(part(embedded, 0, prefix).named("front"), y)
        tokens = self.tokens(g, y, Layout((rows, columns), prefix))
        return {"": tokens, "patches": (part(tokens, prefix) if prefix else tokens).named("patches")}
