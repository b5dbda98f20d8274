"""Tokens that are left out by decisions that train."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspec.backend.runtime.functions import attention, biased_scores
from mmspec.backend.runtime.patterns import for_heads


class DrawSay(nn.Module):
    """In training each token that still has a say draws whether it keeps it: a straight-through Gumbel-softmax of its two
    logits, 1 or 0 forward and the softmax backward. At inference nothing is drawn.   [B, N, 2], say f32[B, N, 1] -> f32[B, N, 1]"""

    def forward(self, logits: Tensor, say: Tensor) -> Tensor:
        return F.gumbel_softmax(logits, hard=True)[:, :, :1] * say if self.training else say


class KeepAtInference(nn.Module):
    """In training every token stays in the row, whatever was decided; at inference those that `keep` names."""

    def __init__(self, keep: nn.Module) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.training:
            numbers: Tensor = self.keep(scores) if mask is None else self.keep(scores, mask)
            return numbers
        return torch.arange(scores.shape[1], device=scores.device).expand(scores.shape[0], -1)


class SayAttention(nn.Module):
    """In training attention in which a key counts as much as it has a say, and to itself in full (arXiv:2106.02034, eq. 10 and
    11); at inference plain attention over the tokens that have one, or over all where not `masked`.

    Shapes   [B, h, N, d], [B, g, N, d], [B, g, N, e], say f32[B, N, 1] -> [B, h, N, e]
    """

    def __init__(self, masked: bool = False, scale: float | None = None) -> None:
        super().__init__()
        self.masked = masked
        self.scale = scale

    def forward(self, query: Tensor, key: Tensor, value: Tensor, say: Tensor) -> Tensor:
        if not self.training:
            return attention(query, key, value, (say[:, :, 0] > 0) if self.masked else None, scale=self.scale)
        scores = biased_scores(query, for_heads(key, query), None, self.scale)
        weight = say[:, None, None, :, 0]  # [B, 1, 1, N]
        weight = weight + (1 - weight) * torch.eye(scores.shape[-1], dtype=scores.dtype, device=scores.device)
        weights = (scores - scores.amax(dim=-1, keepdim=True).detach()).exp() * weight
        return torch.matmul(weights / weights.sum(dim=-1, keepdim=True), for_heads(value, query))
