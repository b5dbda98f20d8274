"""Functions on values, so that a component reads like its formula."""

from __future__ import annotations

from mmspec.ir.graph import Value


def sigmoid(x: Value) -> Value:
    return x.scope.emit("sigmoid", x)


def tanh(x: Value) -> Value:
    return x.scope.emit("tanh", x)


def gelu(x: Value, tanh: bool = False) -> Value:
    """Exact, or with the `tanh` approximation."""
    return x.scope.emit("gelu", x, tanh=True) if tanh else x.scope.emit("gelu", x)


def silu(x: Value) -> Value:
    return x.scope.emit("silu", x)


def relu(x: Value) -> Value:
    return x.scope.emit("relu", x)


def rearrange(x: Value, pattern: str, **sizes: int) -> Value:
    """Axes split, moved and joined: rearrange(x, "b c h w -> b (h w) c")."""
    return x.scope.emit("rearrange", x, pattern=pattern, sizes=tuple(sizes.items()))


def as_tokens(x: Value) -> Value:
    """The places of a map in a row.   [B, D, H, W] -> [B, H * W, D]"""
    return rearrange(x, "b d h w -> b (h w) d")


def as_map(x: Value, rows: int, columns: int) -> Value:
    """Tokens as a map, where they lie: channels are last in memory.   [B, H * W, D] -> [B, D, H, W]"""
    sizes = (("h", rows), ("w", columns))
    return x.scope.emit("rearrange", x, pattern="b (h w) d -> b d h w", sizes=sizes, strided=True)


def part(x: Value, start: int, stop: int | None = None, axis: int = 1) -> Value:
    """From `start` to before `stop` along an axis; of tokens by default, with their mask."""
    taken = x.scope.emit("slice", x, axis=axis, start=start, stop=stop)
    if axis == 1 and x.mask is not None:
        taken.mask = x.scope.emit("slice", x.mask, axis=1, start=start, stop=stop)
    return taken


def only_present(x: Value) -> Value:
    """Tokens with a mask, zeros where they are absent."""
    assert x.mask is not None
    return x.scope.emit("only_present", x, x.mask)


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


def normalise(x: Value) -> Value:
    """x / |x| over channels."""
    return x.scope.emit("normalise", x)


def product_of(x: Value, y: Value) -> Value:
    """The product of each token of x with each of y.   [B, N, D], [B, M, D] -> [B, N, M]"""
    return x.scope.emit("token_products", x, y)
