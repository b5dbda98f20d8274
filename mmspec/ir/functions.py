"""Functions on values, so that a component reads like its formula."""

from __future__ import annotations

from mmspec.ir.graph import Value


def sigmoid(x: Value) -> Value:
    return x.scope.emit("sigmoid", x)


def tanh(x: Value) -> Value:
    return x.scope.emit("tanh", x)


def gelu(x: Value) -> Value:
    return x.scope.emit("gelu", x)


def softmax(x: Value, axis: int = -1, mask: Value | None = None) -> Value:
    return x.scope.emit("softmax", x, *(() if mask is None else (mask,)), axis=axis)


def concat(*values: Value) -> Value:
    """Channels of several values side by side.   [B, N, D_i] -> [B, N, sum D_i]"""
    return values[0].scope.emit("concat", *values, axis=-1)


def channel(x: Value, index: int) -> Value:
    """[..., D] -> [..., 1]"""
    return x.scope.emit("channel", x, index=index)


def sum_tokens(x: Value) -> Value:
    """[B, N, D] -> [B, D]"""
    return x.scope.emit("sum_tokens", x)


def pool(x: Value, how: str) -> Value:
    """[B, N, D] -> [B, D] by mean, max, first or last, over the tokens that are present."""
    return x.scope.emit("pool", x, *(() if x.mask is None else (x.mask,)), how=how)
