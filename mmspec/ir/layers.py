"""What a scope has a word for: layers, norms, tables, attention over heads. Each emits one or two primitives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmspec.ir.graph import Init

if TYPE_CHECKING:
    from mmspec.ir.dims import Shape
    from mmspec.ir.graph import Value

XAVIER = Init("xavier_uniform")
SMALL = Init("normal", 0.02)


class Layers:
    """Layers by name, for whatever emits primitives."""

    def emit(self, kind: str, *inputs: Value, name: str = "", **attributes: Any) -> Value:
        """Append one primitive operation and return its output.   Raises ShapeError."""
        raise NotImplementedError

    def linear(self, name: str, x: Value, width: int, bias: bool = True, init: Init = XAVIER) -> Value:
        return self.emit("linear", x, name=name, width=width, bias=bias, init=init)

    def convolution(
        self,
        name: str,
        x: Value,
        width: int,
        kernel: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        init: Init = XAVIER,
        **unusual: Any,
    ) -> Value:
        """Over all axes after the channels; a number means the same along each.   [B, C, S, ...] -> [B, width, S', ...]"""
        axes = len(x.shape) - 2
        sizes = {
            key: (size,) * axes if isinstance(size, int) else size
            for key, size in (("kernel", kernel), ("stride", stride), ("padding", padding))
        }
        return self.emit(
            "convolution", x, name=name, width=width, **sizes, groups=groups, bias=bias, init=init, **unusual
        )

    def embedding(self, name: str, ids: Value, rows: int, width: int, init: Init = SMALL) -> Value:
        """A trained vector for each id.   i64[B, N] -> [B, N, width]"""
        return self.emit("lookup", ids, self.parameter(name, rows, width, init=init))

    def norm(self, name: str, x: Value, eps: float = 1e-5, kind: str = "layer") -> Value:
        """`layer` or `rms` norm over channels."""
        return self.emit(f"{kind}_norm", x, name=name, eps=eps)

    def parameter(
        self,
        name: str,
        *shape: int,
        init: Init = SMALL,
        trainable: bool = True,
        grid: tuple[int, ...] | None = None,
    ) -> Value:
        """A bare tensor with a name; one that is not trainable is still kept with the weights. The rows of a table of places are
        `grid`: (how many first rows stand nowhere, the sides of the grid that the rest stands on)."""
        unusual: dict[str, Any] = {} if trainable else {"trainable": False}
        unusual |= {} if grid is None else {"grid": grid}
        return self.emit("parameter", name=name, shape=shape, init=init, **unusual)

    def constant(self, name: str, table: str, *arguments: Any, shape: Shape, dtype: str = "f32") -> Value:
        """What `table` (a function of backend.runtime.tables) gives for these numbers; not kept with the weights."""
        unusual = {} if dtype == "f32" else {"dtype": dtype}
        return self.emit("constant", name=name, table=table, arguments=arguments, shape=shape, **unusual)

    def drop_path(self, name: str, x: Value, p: float) -> Value:
        return self.emit("drop_path", x, name=name, p=p) if p else x

    def dropout(self, name: str, x: Value, p: float) -> Value:
        return self.emit("dropout", x, name=name, p=p) if p else x

    def row(self, *streams: Value) -> Value:
        """Tokens of all streams in a row, with a mask if any has one.   [B, N_i, D] -> [B, sum N_i, D]"""
        joined = self.emit("concat", *streams, axis=1)
        if any(stream.mask is not None for stream in streams):
            masks = [stream.mask or self.emit("all_present", stream) for stream in streams]
            joined.mask = self.emit("concat", *masks, axis=1).named("mask")
        return joined

    def prepend(self, name: str, count: int, x: Value) -> Value:
        """`count` trained tokens in front of every sample's.   [B, N, D] -> [B, count + N, D]"""
        joined = self.emit("prepend", self.parameter(name, count, x.width), x)
        if x.mask is not None:
            front = self.emit("slice", self.emit("all_present", joined), axis=1, start=0, stop=count)
            joined.mask = self.emit("concat", front, x.mask, axis=1)
        return joined

    def split(self, x: Value, heads: int) -> Value:
        """[B, N, heads * d] -> [B, heads, N, d]"""
        return self.emit("split_heads", x, heads=heads)

    def scores(
        self,
        query: Value,
        key: Value,
        value: Value,
        mask: Value | None = None,
        bias: Value | None = None,
        causal: bool = False,
        scale: float | None = None,
        prefix: int = 0,
    ) -> Value:
        """softmax(q k^T scale + bias) v over heads (see the primitive `attention`).
        [B, h, N, d], [B, g, M, d], [B, g, M, e], mask bool[B, M], bias [h, N, M] -> [B, h, N, e]"""
        given = [value for value in (mask, bias) if value is not None]
        said: dict[str, Any] = {
            "masked": mask is not None,
            "biased": bias is not None,
            "causal": causal,
            "scale": scale,
            **({"prefix": prefix} if prefix else {}),
        }
        return self.emit("attention", query, key, value, *given, **said)
