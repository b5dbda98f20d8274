"""Which blocks of keys a block of queries looks at, by what is in them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspec.backend.runtime.patterns import for_heads, lengthened, present_up_to


class BlockChoice(nn.Module):
    """For each block of `size` queries its own block and the `k` others whose mean key has the largest product with its mean query;
    where `causal` with the mean query of the block before, and among earlier blocks: the nearest where nothing is there that asks.
    Absent tokens do not take part.

    Shapes   [B, h, N, d], [B, g, N, d], mask bool[B, N] -> i64[B, h, blocks, k + 1]
    """

    def __init__(self, size: int, k: int, causal: bool = False) -> None:
        super().__init__()
        self.size = size
        self.k = k
        self.causal = causal

    def forward(self, query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
        chosen: Tensor = self.scores(query, key, mask).topk(self.k + 1, dim=-1).indices
        return chosen

    def scores(self, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        """The own block's are the largest there are, those of blocks that cannot be seen the least.   -> [B, h, blocks, blocks]"""
        count = torch.sym_max((query.shape[2] + self.size - 1) // self.size, self.k + 1)  # type: ignore[no-untyped-call]
        there = present_up_to(count * self.size, mask, query)
        asking, asked = (self.means(for_heads(x, query), there) for x in (query, key))
        at = torch.arange(count, device=query.device)
        some = there.reshape(there.shape[0], 1, 1, -1, self.size).any(dim=-1)  # [B or 1, 1, 1, blocks]
        if self.causal:  # the mean of its own would tell a block's first token of those behind it
            asking = F.pad(asking, (0, 0, 1, 0))[:, :, :-1]
        scores = torch.matmul(asking, asked.transpose(-2, -1))
        if self.causal:
            scores = torch.where(F.pad(some, (1, 0))[..., :-1].transpose(-2, -1), scores, at.to(scores.dtype))
        unseen = ~some | (at > at[:, None]) if self.causal else ~some
        limits = torch.finfo(scores.dtype)
        return scores.masked_fill(unseen, limits.min).masked_fill(at == at[:, None], limits.max)

    def means(self, x: Tensor, there: Tensor) -> Tensor:
        """Of the tokens of each block that are there.   [B, h, N, d], bool[B or 1, 1, row, 1] -> [B, h, blocks, d]"""
        total, number = (
            each.reshape(*each.shape[:2], -1, self.size, each.shape[3]).sum(dim=3)
            for each in (lengthened(x, there.shape[2]) * there, there.to(x.dtype))
        )
        return total / number.clamp(min=1)
