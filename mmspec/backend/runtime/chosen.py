"""Blocks of queries against the blocks of keys that were chosen for each."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmspec.backend.runtime.patterns import for_heads, lengthened, present_up_to, visible_attention


def chosen_block_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    chosen: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    size: int = 1,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """A row in blocks of `size`; each sees the blocks that its row of `chosen` names, i64[B, h, blocks, n], and where `causal`
    nothing later.   [B, h, N, d], [B, g, N, d], [B, g, N, e], mask bool[B, N], bias [h, N, N] -> [B, h, N, e]"""
    length, row = query.shape[2], chosen.shape[2] * size
    there = present_up_to(row, mask, query)[..., 0].expand(query.shape[0], query.shape[1], -1)
    query, key, value = (lengthened(for_heads(x, query), row) for x in (query, key, value))
    places = (chosen[..., None] * size + torch.arange(size, device=query.device)).flatten(3)  # [B, h, blocks, n * size]
    keys, values = (taken_blocks(x, chosen, size) for x in (key, value))
    visible = there.gather(2, places.flatten(2)).view_as(places)[:, :, :, None]
    own = torch.arange(row, device=query.device).view(-1, size)
    if causal:
        visible = visible & (places[:, :, :, None] <= own[:, :, None])
    near = None
    if bias is not None:
        padded = F.pad(bias, (0, row - length, 0, row - length))
        table = padded.reshape(1, bias.shape[0], -1, size, row)
        index = places[:, :, :, None].expand(-1, -1, -1, size, -1)
        near = table.expand(query.shape[0], -1, -1, -1, -1).gather(4, index)
    queries = query.reshape(*query.shape[:2], -1, size, query.shape[3])
    y = visible_attention(queries, keys, values, visible, near, scale)
    return y.flatten(2, 3)[:, :, :length]


def taken_blocks(x: Tensor, chosen: Tensor, size: int) -> Tensor:
    """The blocks of a row that were chosen, side by side.   [B, h, row, d], i64[B, h, blocks, n] -> [B, h, blocks, n * size, d]"""
    blocks = x.reshape(*x.shape[:2], -1, size * x.shape[3])
    index = chosen.flatten(2)[..., None].expand(-1, -1, -1, blocks.shape[3])
    return blocks.gather(2, index).reshape(*chosen.shape[:3], chosen.shape[3] * size, x.shape[3])
