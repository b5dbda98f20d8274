"""Scaled dot-product attention over heads.

softmax(q k^T / sqrt(d) + bias) v,    absent keys get no weight, a query with no present key gets zeros
(Vaswani et al. 2017, arXiv:1706.03762, eq. 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmspec.ir.dims import Dim, Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, ShapeOf, primitive

ON_A_SCORE = 6  # the scale, and a softmax: maximum, difference, exp, sum, quotient


def two_products(forward: Dim, width: Dim, values: Dim, wanted: Sequence[bool]) -> Dim:
    """FLOPs of the gradients of q k^T and of weights times v, which have `forward` together."""
    assert isinstance(forward, int) and isinstance(width, int) and isinstance(values, int)
    scores = forward * width // (width + values)
    return scores * (wanted[0] + wanted[1]) + (forward - scores) * (wanted[2] + (any(wanted[:2]) or any(wanted[3:])))


@primitive
class SplitHeads(Primitive):
    """[B, N, D] -> [B, heads, N, D / heads]"""

    kind = "split_heads"
    tokenwise = True
    operations = 0
    alias = True

    def infer(self, x: Value, *, heads: int) -> tuple[Shape, str]:
        return (x.shape[0], heads, x.tokens, x.width // heads), x.dtype

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return x.unflatten(-1, (op.attributes["heads"], -1)).transpose(1, 2)


@primitive
class MergeHeads(Primitive):
    """[B, heads, N, d] -> [B, N, heads * d]"""

    kind = "merge_heads"
    tokenwise = True
    operations = 0

    def infer(self, x: Value) -> tuple[Shape, str]:
        heads, width = x.shape[1], x.shape[3]
        return (x.shape[0], x.shape[2], heads * width), x.dtype

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return x.transpose(1, 2).flatten(2)


@primitive
class Attention(Primitive):
    """[B, h, N, d], [B, g, M, d], [B, g, M, e] -> [B, h, N, e]

    Fewer key than query heads are shared: key head j serves the queries j h/g to (j + 1) h/g - 1 (arXiv:2305.13245). What follows
    the first three inputs is named by `masked` (bool[B, M]: which keys are present) and `biased` (f32[h, N, M], added to the
    scores; f32[W, h, N, M] where the batch is W windows of each sample). `causal`: a query sees keys up to its own place,
    and the first `prefix` ones. `scale` replaces 1 / sqrt(d).
    """

    kind = "attention"
    family = "attention"

    def infer(self, query: Value, key: Value, value: Value, *_: Value, **__: Any) -> tuple[Shape, str]:
        return (*query.shape[:-1], value.shape[-1]), query.dtype

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        query, key, value = (shape(x) for x in op.inputs[:3])
        batch, heads, queries, width = query
        keys = key[2]
        return 2 * batch * heads * queries * keys * (width + value[3])

    def backward(self, op: Op, shape: ShapeOf, wanted: Sequence[bool], trained: bool, fused: bool = True) -> Dim:
        """Of a bias that is trained, scores are kept: there is nothing to compute again."""
        query, value = (shape(x)[3] for x in (op.inputs[0], op.inputs[2]))
        if fused and any(wanted) and query == value and not any(wanted[3:]):
            forward = self.flops(op, shape)
            assert isinstance(forward, int)
            return forward // 2 * 5
        return two_products(self.flops(op, shape), query, value, wanted)

    def pointwise(self, op: Op, shape: ShapeOf) -> Dim:
        batch, heads, queries, _ = shape(op.inputs[0])
        return (ON_A_SCORE + len(op.inputs) - 3) * batch * heads * queries * shape(op.inputs[1])[2]

    def scratch(self, op: Op, shape: ShapeOf) -> Dim:
        """The product is fused. Held are keys and values repeated for the query heads, what is allowed, a bias with what is not."""
        a, (query, key, value) = op.attributes, (shape(x) for x in op.inputs[:3])
        batch, heads, queries, _ = query
        pairs = batch * queries * key[2]
        held: Dim = 4 * batch * heads * key[2] * (key[3] + value[3]) if heads != key[1] else 0
        if a["causal"] and (a["masked"] or a["biased"]):  # which pairs are allowed, and for a mask also as numbers
            held = held + queries * key[2] + (pairs if a["masked"] else 0)
            held = held + (0 if a["biased"] else 4 * pairs)
        if a["biased"] and (a["masked"] or a["causal"] or len(op.inputs[-1].shape) == 4):
            held = held + 4 * heads * pairs
        return held

    def run(self, torch: Any, module: Any, op: Op, query: Any, key: Any, value: Any, *rest: Any) -> Any:
        a = op.attributes
        names = [name for name, said in (("mask", a["masked"]), ("bias", a["biased"])) if said]
        unusual = dict(zip(names, rest, strict=True))
        if a["causal"]:
            unusual["causal"] = True
        if a["scale"] is not None:
            unusual["scale"] = a["scale"]
        if a.get("prefix"):
            unusual["prefix"] = a["prefix"]
        elif op.inputs[0].shape[1] == op.inputs[1].shape[1] and not rest:
            if a["causal"]:
                unusual["is_causal"] = unusual.pop("causal")
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, **unusual)
        return torch.runtime.attention(query, key, value, **unusual)


@primitive
class Rotate(Primitive):
    """Rotary positions: each pair of channels is turned by its place's angle (arXiv:2104.09864). The pairs are (i, i + d/2), or
    neighbours where `interleaved`; `first` leaves that many tokens at the front as they are.
    [B, h, N, d], cos [N, d/2], sin [N, d/2] -> [B, h, N, d]"""

    kind = "rotate"
    operations = 3

    def infer(self, x: Value, cos: Value, sin: Value, *, first: int, **_: Any) -> tuple[Shape, str]:
        tokens, places = x.shape[2], cos.shape[0]
        if isinstance(tokens, int) and isinstance(places, int) and tokens - first != places:
            raise ShapeError(
                f"rotary positions have {places} places, and {tokens - first} tokens are to be turned", "position"
            )
        return x.shape, x.dtype

    def run(self, torch: Any, module: Any, op: Op, x: Any, cos: Any, sin: Any) -> Any:
        unusual = {key: value for key, value in op.attributes.items() if value}
        return torch.runtime.rotate(x, cos, sin, **unusual)


@primitive
class RelativeBias(Primitive):
    """A bias for each pair of tokens from a table of what may lie between them.   [R, h], i64[N, M] -> [h, N, M]"""

    kind = "relative_bias"
    gathers = True
    operations = 0

    def infer(self, table: Value, index: Value) -> tuple[Shape, str]:
        return (table.shape[1], *index.shape), table.dtype

    def run(self, torch: Any, module: Any, op: Op, table: Any, index: Any) -> Any:
        return torch.runtime.relative_bias(table, index)


@primitive
class DistanceBias(Primitive):
    """A bias for each pair of places from the bucket of their distance, key minus query.
    table [R, h], buckets i64[2 L - 1], queries [B, N, D], keys [B, M, D] -> [h, N, M]"""

    kind = "distance_bias"
    gathers = True
    operations = 0

    def infer(self, table: Value, buckets: Value, queries: Value, keys: Value) -> tuple[Shape, str]:
        return (table.shape[1], queries.tokens, keys.tokens), table.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, table: Any, buckets: Any, queries: Any, keys: Any) -> Any:
        return torch.runtime.distance_bias(table, buckets, queries, keys)


@primitive
class PlaceBias(Primitive):
    """The same for tokens that stand anywhere, each sample's at places of their own: what is kept of a text has gaps where others
    were longer. Made by the pass `cut_for_writing`.
    table [R, h], buckets i64[2 L - 1], places of queries i64[B, N], of keys i64[B, M] -> [B, h, N, M]"""

    kind = "place_bias"
    gathers = True
    operations = 0

    def infer(self, table: Value, buckets: Value, queries: Value, keys: Value) -> tuple[Shape, str]:
        return (queries.shape[0], table.shape[1], queries.shape[1], keys.shape[1]), table.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, table: Any, buckets: Any, queries: Any, keys: Any) -> Any:
        return torch.runtime.place_bias(table, buckets, queries, keys)
