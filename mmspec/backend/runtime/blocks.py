"""BigBird's attention: blocks of queries against the blocks of keys that they see."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmspec.backend.runtime.patterns import for_heads, lengthened, present_up_to, visible_attention


def block_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    drawn: Tensor | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    size: int = 1,
    ends: int = 1,
    reach: int = 1,
    scale: float | None = None,
) -> Tensor:
    """BigBird (arXiv:2007.14062): a row in blocks of `size`. The `ends` first and last blocks see all and are seen by all; each
    other block sees itself, `reach` blocks on either side and those that its row of `drawn` names, i64[h, blocks, drawn]."""
    length = query.shape[2]
    count = torch.sym_max((length + size - 1) // size, 2 * (ends + reach) + 2)  # type: ignore[no-untyped-call]
    row = count * size
    present = present_up_to(row, mask, query)
    query, key, value = (lengthened(for_heads(x, query), row) for x in (query, key, value))
    bias = None if bias is None else F.pad(bias, (0, row - length, 0, row - length))
    queries, keys, values, there = (x.reshape(*x.shape[:2], -1, size, x.shape[3]) for x in (query, key, value, present))
    at = torch.arange(count, device=query.device)
    front, back = at[:ends], at[count - ends :]

    parts = []
    for i in range(ends, ends + reach):  # the window of these rows reaches into the first blocks
        parts.append((at[i : i + 1], torch.cat([at[: i + reach + 1], back])[None]))
    middle = at[ends + reach : count - ends - reach]
    around = middle[:, None] + torch.arange(-reach, reach + 1, device=query.device)
    rows = around[:, :1]
    parts.append((middle, torch.cat([front + 0 * rows, around, back + 0 * rows], dim=1)))
    for i in range(ends + reach, ends, -1):  # and of these into the last
        parts.append((at[count - i : count - i + 1], torch.cat([front, at[count - i - reach :]])[None]))
    y = [gathered_attention(queries, keys, values, there, *part, drawn, ends, bias, scale) for part in parts]
    if ends:
        asking = torch.cat([query[:, :, : ends * size], query[:, :, (count - ends) * size :]], dim=2)
        theirs = None if bias is None else torch.cat([bias[:, : ends * size], bias[:, (count - ends) * size :]], dim=1)
        all_seen = visible_attention(asking, key, value, present.transpose(-2, -1), theirs, scale)
        y = [all_seen[:, :, : ends * size], *y, all_seen[:, :, ends * size :]]
    return torch.cat(y, dim=2)[:, :, :length]


def gathered_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    there: Tensor,
    rows: Tensor,
    columns: Tensor,
    drawn: Tensor | None,
    ends: int,
    bias: Tensor | None,
    scale: float | None,
) -> Tensor:
    """The blocks `rows` of queries against the blocks of keys that `columns` and `drawn` name for each of them.
    [B, h, blocks, size, d], ..., i64[n], i64[n, k] -> [B, h, n * size, e]"""
    columns = columns[None]
    shown = torch.ones_like(columns, dtype=torch.bool)
    if drawn is not None:
        chosen = drawn[:, rows - ends]
        within = chosen < keys.shape[2] - ends  # in a shorter row a block may be beyond the end, or one of the last
        columns = torch.cat([columns.expand(chosen.shape[0], -1, -1), chosen * within], dim=2)
        shown = torch.cat([shown.expand(chosen.shape[0], -1, -1), within], dim=2)
    head = torch.arange(keys.shape[1], device=keys.device)[:, None, None]
    near_keys, near_values = (x[:, head, columns].flatten(3, 4) for x in (keys, values))  # [B, h, n, k * size, d]
    seen = there[:, 0, :, :, 0][:, columns] & shown[..., None]  # [B, h or 1, n, k, size]
    near_bias = None
    if bias is not None:
        count, size = queries.shape[2:4]
        table = bias.reshape(-1, count, size, count, size)
        near_bias = table[head, rows[None, :, None], :, columns].permute(0, 1, 3, 2, 4).flatten(3, 4)
    y = visible_attention(
        queries[:, :, rows], near_keys, near_values, seen.flatten(3, 4)[:, :, :, None], near_bias, scale
    )
    return y.flatten(2, 3)
