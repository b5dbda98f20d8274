"""Attention in the shape of its pattern.

Each takes queries, keys and values over heads and then what `given` names: mask bool[B, N], bias [h, N, N], or a table of its own.
Rows are padded inside to whole blocks, so that any length will do, and the price counts what is padded, as torch does.
Absent keys get no weight; a query that sees nothing gets zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmspec.ir.dims import Dim, Shape, blocks, product
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.attention import ON_A_SCORE, two_products
from mmspec.ir.primitives.base import Primitive, ShapeOf, primitive


class Pattern(Primitive):
    """[B, h, N, d], [B, g, N, d], [B, g, N, e] -> [B, h, N, e]"""

    family = "attention"
    usual: ClassVar[dict[str, int]] = {}  # what the function does unasked

    def infer(self, query: Value, key: Value, value: Value, *_: Value, **__: Any) -> tuple[Shape, str]:
        return (*query.shape[:-1], value.shape[-1]), query.dtype

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        """Both products, over the pairs of query and key for which they are computed."""
        batch, heads, length, width = shape(op.inputs[0])
        pairs = self.pairs(length, op)
        return 2 * batch * heads * pairs * (width + shape(op.inputs[2])[3])

    def backward(self, op: Op, shape: ShapeOf, wanted: Sequence[bool], trained: bool, fused: bool = True) -> Dim:
        return two_products(self.flops(op, shape), shape(op.inputs[0])[3], shape(op.inputs[2])[3], wanted)

    def pointwise(self, op: Op, shape: ShapeOf) -> Dim:
        batch, heads, length, _ = shape(op.inputs[0])
        return ON_A_SCORE * batch * heads * self.pairs(length, op)

    def pairs(self, length: Dim, op: Op) -> Dim:
        return length * length

    def scratch(self, op: Op, shape: ShapeOf) -> Dim:
        batch, heads, length, width = shape(op.inputs[0])
        return 4 * batch * heads * self.held(length, width, op)

    def held(self, length: Dim, width: Dim, op: Op) -> Dim:
        """Numbers held at the worst moment for each sample and head: scores with and without what is not seen, weights."""
        return 3 * self.pairs(length, op)

    def run(self, torch: Any, module: Any, op: Op, query: Any, key: Any, value: Any, *rest: Any) -> Any:
        named = dict(zip(op.attributes["given"], rest, strict=True))
        unusual = {k: v for k, v in op.attributes.items() if v is not None and v is not False and v != ()}
        said = {k: v for k, v in unusual.items() if k != "given" and v != self.usual.get(k)}
        return getattr(torch.runtime, self.kind)(query, key, value, **named, **said)


@primitive
class LocalAttention(Pattern):
    """A token sees every `dilation`-th token on either side, `size` of them (before it only where `causal`); the `first` tokens see
    all and are seen by all (Longformer, arXiv:2004.05150)."""

    kind = "local_attention"
    usual: ClassVar[dict[str, int]] = {"dilation": 1, "first": 0}

    def pairs(self, length: Dim, op: Op) -> Dim:
        a = op.attributes
        size, first = int(a["size"]), int(a["first"])
        span = size * int(a["dilation"])
        queries = blocks(length, span) * span
        return first * (first + queries) + queries * (first + (2 if a["causal"] else 3) * size)

    def held(self, length: Dim, width: Dim, op: Op) -> Dim:
        """The scores; the three padded, and keys and values of each block's neighbours."""
        copies = 3 + 2 * (2 if op.attributes["causal"] else 3)
        return 3 * self.pairs(length, op) + copies * length * width


@primitive
class GroupAttention(Pattern):
    """A token sees those of its group: a window of `size` along each axis of a grid of `sides`, or where `strided` the tokens that
    are a multiple of `size` away along each axis; without `sides`, of a row. The `first` tokens see all and are seen by all."""

    kind = "group_attention"
    usual: ClassVar[dict[str, int]] = {"first": 0}

    def pairs(self, length: Dim, op: Op) -> Dim:
        a = op.attributes
        size, first = int(a["size"]), int(a["first"])
        sides: tuple[Dim, ...] = a["sides"] or (blocks(length, size) * size,)
        tokens = product(sides)
        across = tuple(blocks(side, size) for side in a["sides"]) or (blocks(length, size),)
        inside = product(across) if a["strided"] else size ** len(sides)
        return first * (first + tokens) + tokens * (first + inside)

    def held(self, length: Dim, width: Dim, op: Op) -> Dim:
        return 3 * self.pairs(length, op) + 4 * length * width


@primitive
class BlockAttention(Pattern):
    """A row in blocks of `size`. The `ends` first and last blocks see all and are seen by all; each other block sees itself,
    `reach` blocks on either side and those `drawn` for it, i64[h, blocks - 2 ends, random] (BigBird, arXiv:2007.14062)."""

    kind = "block_attention"

    def pairs(self, length: Dim, op: Op) -> Dim:
        a = op.attributes
        size, ends, reach = int(a["size"]), int(a["ends"]), int(a["reach"])
        count, between, random = self.counts(length, op)
        at_an_end = sum(row + reach + 1 + ends + random for row in range(ends, ends + reach))
        return (2 * ends * count + 2 * at_an_end + between) * (size * size)

    def counts(self, length: Dim, op: Op) -> tuple[Dim, Dim, int]:
        """Blocks; pairs of blocks where the window reaches into neither end; random blocks for each."""
        a = op.attributes
        ends, reach = int(a["ends"]), int(a["reach"])
        random = op.inputs[3].width if "drawn" in a["given"] else 0
        count = blocks(length, int(a["size"]), 2 * (ends + reach) + 2)
        return count, (count - 2 * (ends + reach)) * (2 * ends + 2 * reach + 1 + random), random

    def held(self, length: Dim, width: Dim, op: Op) -> Dim:
        """The scores between the ends; the three padded, and the keys and values that were gathered for each block."""
        size = int(op.attributes["size"])
        count, between, _ = self.counts(length, op)
        return 3 * between * (size * size) + (3 * count + 2 * between) * size * width


@primitive
class BlockChoice(Primitive):
    """For each block of `size` queries, its own block of keys and the `k` most like it, by their means (MoBA, arXiv:2502.13189).
    [B, h, N, d], [B, g, N, d], perhaps bool[B, N] -> i64[B, h, blocks, k + 1]"""

    kind = "block_choice"
    family = "attention"

    def infer(self, query: Value, key: Value, *_: Value, size: int, k: int, **__: Any) -> tuple[Shape, str]:
        return (*query.shape[:2], blocks(query.shape[2], size, k + 1), k + 1), "i64"

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        batch, heads, _, width = shape(op.inputs[0])
        count = shape(op.outputs[0])[2]
        return 2 * batch * heads * count * count * width

    def make(self, torch: Any, op: Op) -> Any:
        a = op.attributes
        return torch.runtime.BlockChoice(a["size"], a["k"], **({"causal": True} if a["causal"] else {}))

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class ChosenBlockAttention(Pattern):
    """A row in blocks of `size`, each of which sees the blocks `chosen` for it, i64[B, h, blocks, n]."""

    kind = "chosen_block_attention"

    def pairs(self, length: Dim, op: Op) -> Dim:
        size, seen = int(op.attributes["size"]), op.inputs[3].width
        return blocks(length, size, seen) * (size * size * seen)

    def held(self, length: Dim, width: Dim, op: Op) -> Dim:
        """The scores; the three padded, and the keys and values that were gathered for each block."""
        size, seen = int(op.attributes["size"]), op.inputs[3].width
        return 3 * self.pairs(length, op) + (3 + 2 * seen) * blocks(length, size, seen) * size * width


@primitive
class LinearAttention(Pattern):
    """phi(q) (sum phi(k) v^T) / (phi(q) sum phi(k)), phi(x) = elu(x) + 1 (arXiv:2006.16236); causal sums in chunks."""

    kind = "linear_attention"

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        batch, heads, length, width = shape(op.inputs[0])
        values, chunk = shape(op.inputs[2])[3], int(op.attributes["chunk"] or 0)
        if not chunk:
            return 4 * batch * heads * length * width * values
        return 2 * batch * heads * blocks(length, chunk) * chunk * (2 * width * values + chunk * (width + values))

    def backward(self, op: Op, shape: ShapeOf, wanted: Sequence[bool], trained: bool, fused: bool = True) -> Dim:
        return self.flops(op, shape) * 2

    def pointwise(self, op: Op, shape: ShapeOf) -> Dim:
        """phi of queries and keys, the sum over keys, the quotient."""
        batch, heads, length, width = shape(op.inputs[0])
        return batch * heads * length * (7 * width + shape(op.inputs[2])[3])

    def held(self, length: Dim, width: Dim, op: Op) -> Dim:
        """Features of queries and keys, padded; causal, the small squares, and the sums of every chunk before and after."""
        chunk = int(op.attributes["chunk"] or 0)
        if not chunk:
            return 3 * length * width
        return length * (2 * chunk + 3 * width) + 2 * blocks(length, chunk) * width * width


@primitive
class RandomAttention(Pattern):
    """A token sees itself and those `drawn` for it, i64[h, L, keys]. All scores are computed."""

    kind = "random_attention"

    def held(self, length: Dim, width: Dim, op: Op) -> Dim:
        return 4 * self.pairs(length, op)


@primitive
class TopKAttention(Pattern):
    """Softmax over the `k` largest scores of each query (arXiv:1912.11637). All scores are computed."""

    kind = "top_k_attention"


@primitive
class EntmaxAttention(Pattern):
    """alpha-entmax in the place of softmax, with a trained `alpha` [h] (arXiv:1909.00015). All scores are computed."""

    kind = "entmax_attention"

    def held(self, length: Dim, width: Dim, op: Op) -> Dim:
        return 4 * self.pairs(length, op)


@primitive
class SayAttention(Pattern):
    """In training keys count as much as they have a say, f32[B, N, 1]; at inference plain attention, over those that have one where
    `masked` (DynamicViT, arXiv:2106.02034)."""

    kind = "say_attention"

    def make(self, torch: Any, op: Op) -> Any:
        unusual = {name: value for name, value in op.attributes.items() if value}
        return torch.runtime.SayAttention(**unusual)

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)

    def scratch(self, op: Op, shape: ShapeOf) -> Dim:
        return 0
