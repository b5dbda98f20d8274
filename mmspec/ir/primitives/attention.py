"""Scaled dot-product attention over heads.

softmax(q k^T / sqrt(d)) v,    absent keys get no weight, a query with no present key gets zeros
(Vaswani et al. 2017, arXiv:1706.03762, eq. 1)
"""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Dim, Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeOf, primitive


@primitive
class SplitHeads(Primitive):
    """[B, N, D] -> [B, heads, N, D / heads]"""

    kind = "split_heads"
    alias = True

    def infer(self, x: Value, *, heads: int) -> tuple[Shape, str]:
        return (x.shape[0], heads, x.tokens, x.width // heads), x.dtype

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return x.unflatten(-1, (op.attributes["heads"], -1)).transpose(1, 2)


@primitive
class MergeHeads(Primitive):
    """[B, heads, N, d] -> [B, N, heads * d]"""

    kind = "merge_heads"

    def infer(self, x: Value) -> tuple[Shape, str]:
        heads, width = x.shape[1], x.shape[3]
        return (x.shape[0], x.shape[2], heads * width), x.dtype

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return x.transpose(1, 2).flatten(2)


@primitive
class Attention(Primitive):
    """[B, h, N, d], [B, h, M, d], [B, h, M, d], mask bool[B, M] -> [B, h, N, d]"""

    kind = "attention"

    def infer(self, query: Value, key: Value, value: Value, mask: Value | None = None) -> tuple[Shape, str]:
        return (*query.shape[:-1], value.shape[-1]), query.dtype

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        query, key, value = (shape(x) for x in op.inputs[:3])
        batch, heads, queries, width = query
        keys = key[2]
        return 2 * batch * heads * queries * keys * (width + value[3])

    def run(self, torch: Any, module: Any, op: Op, query: Any, key: Any, value: Any, mask: Any = None) -> Any:
        if mask is None:
            return torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return torch.runtime.masked_attention(query, key, value, mask)
