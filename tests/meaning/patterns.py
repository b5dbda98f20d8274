"""Attention patterns said token by token, and attention over them in plain torch: nothing here knows how ours is computed."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmspec.backend import build_graph
from mmspec.components.attention.base import Attention
from mmspec.components.positions.base import SEQUENCE, Layout
from mmspec.cost.flops import Sizes, flops
from mmspec.ir import Graph, Program, Scope, symbol
from mmspec.testing import counted_flops

WIDTH, LONGEST = 4, 18


@dataclass
class Mix:
    """A pattern's `mix` alone, as a graph and as a module in double precision."""

    graph: Graph
    module: nn.Module
    masked: bool
    biased: bool

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
        return self.module(**self.given(query, key, value, mask, bias))

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, bias: Tensor) -> dict[str, Tensor]:
        given = {"query": query, "key": key, "value": value}
        return given | ({"mask": mask} if self.masked else {}) | ({"bias": bias} if self.biased else {})

    def priced(self, batch: int, length: int) -> object:
        return flops(self.graph, Sizes({"B": batch, "N": length})).own

    def counted(self, *tensors: Tensor) -> int:
        return counted_flops(self.module, self.given(*tensors))


def mix(
    pattern: Attention,
    heads: int = 1,
    groups: int = 1,
    layout: Layout = SEQUENCE,
    tokens: int | None = None,
    masked: bool = True,
    biased: bool = False,
    scale: float | None = None,
    longest: int = LONGEST,
) -> Mix:
    """`tokens` None: a text of up to `longest`."""
    g = Scope("Mix", program=Program(lambda name, value: value, limits={"N": longest}))
    length = symbol("N") if tokens is None else tokens
    batch = symbol("B")
    query = g.input("query", (batch, heads, length, WIDTH))
    key, value = (g.input(name, (batch, groups, length, WIDTH)) for name in ("key", "value"))
    mask = g.input("mask", (batch, length), "bool") if masked else None
    bias = g.input("bias", (heads, length, length)) if biased else None
    y = pattern.mix(g, query, key, value, layout, mask, bias, scale)
    graph = g.close({"y": y}, "", None)
    return Mix(graph, build_graph(graph).double(), masked, biased)


def tensors(batch: int, heads: int, groups: int, length: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Query, key, value, mask and bias; the first sample lacks tokens anywhere, others too, the last one all."""
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn(batch, count, length, WIDTH, generator=generator, dtype=torch.float64)
        for count in (heads, groups, groups)
    )
    mask = torch.rand(batch, length, generator=generator) > 0.3
    mask[0, 0], mask[-1] = True, False
    return query, key, value, mask, torch.randn(heads, length, length, generator=generator, dtype=torch.float64)


# who sees whom ----------------------------------------------------------------------------------------------------------


def pairs(length: int, sees) -> Tensor:
    """bool[N, N] from a predicate of two places."""
    return torch.tensor([[bool(sees(n, m)) for m in range(length)] for n in range(length)]).reshape(length, length)


def row(length: int, size: int, dilation: int = 1, first: int = 0, causal: bool = False) -> Tensor:
    def sees(n: int, m: int) -> bool:
        near = (n - m) % dilation == 0 and abs(n - m) <= size * dilation
        return (near or n < first or m < first) and (m <= n or not causal)

    return pairs(length, sees)


def grid(sides: tuple[int, ...], same, first: int = 0) -> Tensor:
    """Tokens row by row see each other where `same` of their coordinates along every axis; `first` tokens stand before the grid."""
    places = [()]
    for side in sides:
        places = [(*place, i) for place in places for i in range(side)]

    def sees(n: int, m: int) -> bool:
        if n < first or m < first:
            return True
        return all(same(a, b) for a, b in zip(places[n - first], places[m - first], strict=True))

    return pairs(first + len(places), sees)


def blocks(length: int, block: int, ends: int, neighbours: int, drawn: Tensor | None) -> Tensor:
    """bool[h or 1, N, N]; drawn[h, i] are the blocks drawn for block i + ends."""
    count = max(-(-length // block), 2 * (ends + neighbours + 1))
    tables = [None] if drawn is None else drawn.tolist()

    def visible(table) -> Tensor:
        def sees(n: int, m: int) -> bool:
            i, j = n // block, m // block
            at_an_end = any(b < ends or b >= count - ends for b in (i, j))
            return at_an_end or abs(i - j) <= neighbours or (table is not None and j in table[i - ends])

        return pairs(length, sees)

    return torch.stack([visible(table) for table in tables])


# attention over what is seen ----------------------------------------------------------------------------------------------


def softmax(scores: Tensor) -> Tensor:
    return scores.softmax(0)


def entmax(alpha: float):
    """Weights [(alpha - 1) s - tau]_+^(1 / (alpha - 1)), with a tau that is looked for until nothing is left to find."""

    def weights(scores: Tensor) -> Tensor:
        scaled = (alpha - 1) * scores
        low, high = scaled.max() - 1, scaled.max()
        for _ in range(200):
            tau = (low + high) / 2
            total = (scaled - tau).clamp(min=0).pow(1 / (alpha - 1)).sum()
            low, high = (tau, high) if total >= 1 else (low, tau)
        return (scaled - low).clamp(min=0).pow(1 / (alpha - 1))

    return weights


def largest(k: int):
    """Softmax over the k largest scores."""

    def weights(scores: Tensor) -> Tensor:
        kept = scores.sort(descending=True).indices[:k]
        return torch.zeros_like(scores).index_copy(0, kept, scores[kept].softmax(0))

    return weights


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, visible: Tensor, bias=None, scale=None, weigh=softmax
) -> Tensor:
    """Query by query: scores of the keys that it sees and that are there, weights from them, the sum of values; zeros where it sees
    none. visible bool[N, N] or bool[h, N, N]; `weigh` one function, or one for each head."""
    batch, heads, length, width = query.shape
    shared = heads // key.shape[1]
    y = torch.zeros(batch, heads, length, value.shape[-1], dtype=query.dtype)
    visible = visible.expand(heads, length, length)
    for b in range(batch):
        for h in range(heads):
            weights_of = weigh[h] if isinstance(weigh, list) else weigh
            for n in range(length):
                seen = (visible[h, n] & mask[b]).nonzero().flatten()
                if len(seen):
                    scores = key[b, h // shared, seen] @ query[b, h, n] * (width**-0.5 if scale is None else scale)
                    if bias is not None:
                        scores = scores + bias[h, n, seen]
                    y[b, h, n] = weights_of(scores) @ value[b, h // shared, seen]
    return y
