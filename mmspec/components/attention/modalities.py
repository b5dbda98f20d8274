"""Which modality sees which."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmspec.components.attention.base import Attention
from mmspec.components.positions.base import Layout
from mmspec.ir import Dim, Scope, ShapeError, Value


class Modalities(Attention):
    """Block-sparse attention over a row of several modalities: a token sees its own modality, and those that its modality is paired
    with.

        n of stream i sees m of stream j  where  i = j or [i, j] is one of the pairs

    Computed stream by stream against the streams that each sees: a pair that is not listed costs nothing.

    Shapes   [B, h, N, d] -> [B, h, N, d];  sum_i N_i sum_j N_j products of d channels per head, j over what i sees
    Raises   ShapeError: an unknown stream; one modality only; more than one text; positions that bias scores
    Source   attention masks over modalities: UniLM, arXiv:1905.03197, sec. 2.2; ViLT's row of tokens, arXiv:2102.03334

        joint: {type: transformer, from: [image, text], attention: {type: modalities, pairs: [[text, image]]}}
    """

    type: Literal["modalities"] = "modalities"
    pairs: tuple[tuple[str, str], ...] = Field(
        (), description="[text, image]: text sees image; each sees itself anyway"
    )

    def mix(
        self,
        g: Scope,
        query: Value,
        key: Value,
        value: Value,
        layout: Layout,
        mask: Value | None = None,
        bias: Value | None = None,
        scale: float | None = None,
    ) -> Value:
        names = [name for name, _ in layout.streams]
        if not names:
            hint = "a fusion of type transformer puts several in a row"
            raise ShapeError("tokens of one modality have no other to see", "attention", hint=hint)
        for name in (name for pair in self.pairs for name in pair):
            if name not in names:
                message = f"there is no stream {name!r} in this row"
                raise ShapeError(message, "attention.pairs", hint="the streams are " + ", ".join(names))
        if bias is not None:
            raise ShapeError("attention between modalities takes no positions that bias scores", "position")
        answers = []
        for name in names:
            seen = [other for other in names if other == name or (name, other) in self.pairs]
            keys, values = (streams_of(g, x, layout, seen, axis=2) for x in (key, value))
            there = None if mask is None else streams_of(g, mask, layout, seen, axis=1)
            asking = streams_of(g, query, layout, [name], axis=2)
            answers.append(g.scores(asking, keys, values, there, scale=scale).named(name))
        return g.emit("concat", *answers, axis=2)


def streams_of(g: Scope, x: Value, layout: Layout, names: list[str], axis: int) -> Value:
    """The tokens of these streams in a row, along an axis of x.   Raises ShapeError"""
    sizes = [size for _, size in layout.streams]
    if len(names) == len(sizes):
        return x
    parts = []
    for i, (name, _) in enumerate(layout.streams):
        if name in names:
            start, stop = place(sizes, i), place(sizes, i + 1)
            parts.append(g.emit("slice", x, axis=axis, start=start, stop=None if i + 1 == len(sizes) else stop))
    return parts[0] if len(parts) == 1 else g.emit("concat", *parts, axis=axis)


def place(sizes: list[Dim], index: int) -> int:
    """Where a stream begins: counted from the front where all before it are of known length, else from the end."""
    before, after = sum(sizes[:index]), sum(sizes[index:])
    if isinstance(before, int):
        return before
    if isinstance(after, int):
        return -after
    hint = "at most one stream of the row may be a text of any length"
    raise ShapeError("where a stream begins is not known between two texts", "attention", hint=hint)
