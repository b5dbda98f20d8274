"""Attention in the shape of its pattern: blocks of queries against the keys that they see.

Everywhere [B, h, N, d], [B, g, N, d], [B, g, N, e], mask bool[B, N], bias [h, N, N] -> [B, h, N, e]. Rows are padded at their end
to whole blocks; what is padded, absent or not in the pattern is not seen, and a query that sees nothing gets zeros.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmspec.backend.runtime.functions import biased_scores


def visible_attention(
    query: Tensor, key: Tensor, value: Tensor, visible: Tensor, bias: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """softmax(q k^T * scale + bias) v over the visible keys; zeros where there are none.
    [..., n, d], [..., m, d], [..., m, e], bool[..., n, m] -> [..., n, e]"""
    scores = biased_scores(query, key, bias, scale)
    weights = scores.masked_fill(~visible, torch.finfo(scores.dtype).min).softmax(dim=-1)
    y: Tensor = torch.matmul(weights * visible.any(dim=-1, keepdim=True), value)
    return y


def for_heads(x: Tensor, query: Tensor) -> Tensor:
    """Keys or values for each head of the queries.   [B, g, M, d], [B, h, N, d] -> [B, h, M, d]"""
    return x if x.shape[1] == query.shape[1] else x.repeat_interleave(query.shape[1] // x.shape[1], dim=1)


def blocks_over(length: int, size: int) -> int:
    """How many blocks of `size` cover a row: ceil(length / size). A file that is exported for many lengths has one more, because
    torch takes a size that may be one for a constant."""
    count = (length + size - 1) // size
    return count + 1 if torch.compiler.is_exporting() else count


def lengthened(x: Tensor, length: int) -> Tensor:
    """Zeros behind a row, up to `length`.   [..., N, d] -> [..., length, d]"""
    return F.pad(x, (0, 0, 0, length - x.shape[-2]))


def present_up_to(length: int, mask: Tensor | None, like: Tensor) -> Tensor:
    """Which tokens of a lengthened row are there.   bool[B, N], [B, h, N, d] -> bool[B or 1, 1, length, 1]"""
    if mask is None:
        return (torch.arange(length, device=like.device) < like.shape[2])[None, None, :, None]
    return lengthened(mask[:, None, :, None], length)


def front_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    present: Tensor,
    bias: Tensor | None,
    first: int,
    causal: bool,
    scale: float | None,
) -> Tensor:
    """What the first tokens of a row see: all of it, or all before them.   [B, h, N, d], ... -> [B, h, first, e]"""
    visible = present.transpose(-2, -1)
    if causal:
        at = torch.arange(key.shape[2], device=key.device)
        visible = visible & (at <= at[:first, None])
    return visible_attention(query[:, :, :first], key, value, visible, None if bias is None else bias[:, :first], scale)


def steps_of(x: Tensor, size: int, dilation: int) -> Tensor:
    """A row as blocks of every `dilation`-th token.   [B, h, blocks * size * dilation, d] -> [B, h, dilation, blocks, size, d]"""
    return x.reshape(*x.shape[:2], -1, size, dilation, x.shape[3]).permute(0, 1, 4, 2, 3, 5)


def with_neighbours(x: Tensor, causal: bool) -> Tensor:
    """Each block between the one before it and, unless causal, the one after it; zeros beyond the ends.
    [B, h, phases, blocks, size, d] -> [B, h, phases, blocks, 2 or 3 * size, d]"""
    before = F.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :, :-1]
    if causal:
        return torch.cat([before, x], dim=4)
    return torch.cat([before, x, F.pad(x, (0, 0, 0, 0, 0, 1))[:, :, :, 1:]], dim=4)


def local_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    size: int = 1,
    dilation: int = 1,
    first: int = 0,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """A token sees every `dilation`-th token on either side, `size` of them; the `first` tokens of the row see all and are seen by
    all. In blocks of `size` queries against three blocks of keys (two where causal), and a mask inside for the band."""
    length = query.shape[2]
    row = first + blocks_over(length, size * dilation) * size * dilation
    present = present_up_to(row, mask, query)
    query, key, value = (lengthened(for_heads(x, query), row) for x in (query, key, value))
    at = torch.arange(row, device=query.device)[None, None, :, None]

    queries = steps_of(query[:, :, first:], size, dilation)
    keys, values, there, places = (
        with_neighbours(steps_of(x[:, :, first:], size, dilation), causal) for x in (key, value, present, at)
    )
    step = torch.arange(keys.shape[4], device=query.device) - size - torch.arange(size, device=query.device)[:, None]
    near = (step >= -size) & (step <= (0 if causal else size))  # [size, 2 or 3 * size]
    visible = near & there.transpose(-2, -1)
    if first:
        shape = (-1, -1, *keys.shape[2:4], -1, -1)
        keys, values, places = (
            torch.cat([x[:, :, :first][:, :, None, None].expand(shape), rest], dim=4)
            for x, rest in ((key, keys), (value, values), (at, places))
        )
        front = present[:, :, :first].transpose(-2, -1)[:, :, None, None]
        visible = torch.cat([front.expand(-1, -1, *visible.shape[2:5], -1), visible], dim=5)
    near_bias = None
    if bias is not None:
        bias = F.pad(bias, (0, row - length, 0, row - length))
        asking = steps_of(at[:, :, first:], size, dilation)[0, 0]  # [phases, blocks, size, 1]
        near_bias = bias[:, asking, places[0, 0].transpose(-2, -1)]
    y = visible_attention(queries, keys, values, visible, near_bias, scale)
    y = y.permute(0, 1, 3, 4, 2, 5).flatten(2, 4)
    if first:
        y = torch.cat([front_attention(query, key, value, present, bias, first, causal, scale), y], dim=2)
    return y[:, :, :length]


def grouped(x: Tensor, sides: tuple[int, ...], size: int, strided: bool) -> Tensor:
    """Tokens of a grid by group: windows of `size` along each axis, or, `strided`, the tokens that are `size` apart.
    [B, h, N, d] -> [B, h, groups, tokens, d]"""
    axes = len(sides)
    x = x.reshape(*x.shape[:2], *(n for side in sides for n in (side // size, size)), x.shape[3])
    outer, inner = tuple(range(2, 2 + 2 * axes, 2)), tuple(range(3, 3 + 2 * axes, 2))
    groups, tokens = (inner, outer) if strided else (outer, inner)
    x = x.permute(0, 1, *groups, *tokens, 2 + 2 * axes)
    return x.flatten(2, 1 + axes).flatten(3, 2 + axes)


def ungrouped(x: Tensor, sides: tuple[int, ...], size: int, strided: bool) -> Tensor:
    """What `grouped` did, undone.   [B, h, groups, tokens, d] -> [B, h, N, d]"""
    axes = len(sides)
    outer, inner = tuple(side // size for side in sides), (size,) * axes
    groups, tokens = (inner, outer) if strided else (outer, inner)
    x = x.reshape(*x.shape[:2], *groups, *tokens, x.shape[4])
    first, second = range(2, 2 + axes), range(2 + axes, 2 + 2 * axes)
    pairs = zip(second, first, strict=True) if strided else zip(first, second, strict=True)
    return x.permute(0, 1, *(axis for pair in pairs for axis in pair), 2 + 2 * axes).flatten(2, 1 + 2 * axes)


def group_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    sides: tuple[int, ...] = (),
    size: int = 1,
    strided: bool = False,
    first: int = 0,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """A token sees those of its group: a window of a grid (`sides` tokens along each axis), or, `strided`, the tokens that are a
    multiple of `size` away along each axis; without `sides`, of a row. The `first` tokens see all and are seen by all."""
    length = query.shape[2]
    if not sides:
        sides = (blocks_over(length, size) * size,)
    tokens = sides[0]
    for side in sides[1:]:
        tokens = tokens * side
    row = first + tokens
    present = present_up_to(row, mask, query)
    query, key, value = (lengthened(for_heads(x, query), row) for x in (query, key, value))
    at = torch.arange(row, device=query.device)[None, None, :, None]

    queries, keys, values, there, places = (
        grouped(x[:, :, first:], sides, size, strided) for x in (query, key, value, present, at)
    )
    asking = places[0, 0]  # [groups, tokens, 1]
    if first:
        keys, values, there, places = (
            torch.cat([x[:, :, None, :first].expand(-1, -1, keys.shape[2], -1, -1), rest], dim=3)
            for x, rest in ((key, keys), (value, values), (present, there), (at, places))
        )
    visible = there.transpose(-2, -1)
    if causal:
        visible = visible & (places[0, 0].transpose(-2, -1) <= asking)
    near_bias = None
    if bias is not None:
        bias = F.pad(bias, (0, row - length, 0, row - length))
        near_bias = bias[:, asking, places[0, 0].transpose(-2, -1)]
    y = ungrouped(visible_attention(queries, keys, values, visible, near_bias, scale), sides, size, strided)
    if first:
        y = torch.cat([front_attention(query, key, value, present, bias, first, causal, scale), y], dim=2)
    return y[:, :, :length]


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False, chunk: int = 64
) -> Tensor:
    """phi(q) (sum_m phi(k_m) v_m^T) / (phi(q) sum_m phi(k_m)), phi(x) = elu(x) + 1, over the keys that are present and, where
    causal, not later (arXiv:2006.16236, eq. 5 and 9). Causal sums are taken `chunk` by `chunk`: whole chunks that lie before in
    one product, the own chunk in a small square."""
    query, key, value = F.elu(query) + 1, F.elu(for_heads(key, query)) + 1, for_heads(value, query)
    if mask is not None:
        key = key * mask[:, None, :, None]
    if not causal:
        total = (query * key.sum(dim=2, keepdim=True)).sum(dim=-1, keepdim=True)
        return torch.matmul(query, torch.matmul(key.transpose(-2, -1), value)) / total.masked_fill(total == 0, 1.0)
    length = query.shape[2]
    row = blocks_over(length, chunk) * chunk
    query, key, value = (
        lengthened(x, row).reshape(*x.shape[:2], -1, chunk, x.shape[3]) for x in (query, key, value)
    )  # [B, h, chunks, chunk, d]
    states = torch.matmul(key.transpose(-2, -1), value)  # [B, h, chunks, d, e]
    before, counted = (
        F.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1].cumsum(dim=2) for x in (states, key.sum(dim=3, keepdim=True))
    )
    own = torch.matmul(query, key.transpose(-2, -1)).tril()
    y = torch.matmul(query, before) + torch.matmul(own, value)
    total = (query * counted).sum(dim=-1, keepdim=True) + own.sum(dim=-1, keepdim=True)
    return (y / total.masked_fill(total == 0, 1.0)).flatten(2, 3)[:, :, :length]
