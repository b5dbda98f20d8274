"""Functions of tensors and masks. A mask is bool, True where a token is present."""

import torch
import torch.nn.functional as F
from torch import Tensor


def token_mask(ids: Tensor, given: Tensor | None, pad: int) -> Tensor:
    """The mask that was given, or every id that is not padding.   i64[B, N] -> bool[B, N]"""
    return ids.ne(pad) if given is None else given


def masked_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Attention to the keys that are present; zeros where none is.   [B, h, N, d] x 3, bool[B, M] -> [B, h, N, d]"""
    mask = mask[:, None, None, :]
    if not torch.compiler.is_exporting():
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    # other runtimes turn a row without keys into a uniform average; written out, it is zeros everywhere
    scores: Tensor = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return torch.matmul(weights * mask.any(dim=-1, keepdim=True), value)


def masked_softmax(x: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the tokens that are present; zeros where none is.   [B, N, D], bool[B, N] -> [B, N, D]"""
    mask = mask[:, :, None]
    return x.masked_fill(~mask, torch.finfo(x.dtype).min).softmax(dim=1) * mask


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that are present.   [B, N, D], bool[B, N] -> [B, D]"""
    weights = mask[:, :, None].to(x.dtype)
    return (x * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    """Maximum over the tokens that are present.   [B, N, D], bool[B, N] -> [B, D]"""
    present = mask[:, :, None]
    return x.masked_fill(~present, torch.finfo(x.dtype).min).amax(dim=1) * present.any(dim=1)


def masked_first(x: Tensor, mask: Tensor) -> Tensor:
    """The first token that is present.   [B, N, D], bool[B, N] -> [B, D]"""
    places = mask.to(torch.int64)
    only = (places.cumsum(dim=1) == 1) & mask
    return (x * only[:, :, None]).sum(dim=1)


def masked_last(x: Tensor, mask: Tensor) -> Tensor:
    """The last token that is present.   [B, N, D], bool[B, N] -> [B, D]"""
    places = mask.to(torch.int64)
    only = (places.cumsum(dim=1) == places.sum(dim=1, keepdim=True)) & mask
    return (x * only[:, :, None]).sum(dim=1)


def grid(rows: Tensor, columns: Tensor) -> Tensor:
    """Each place of a grid as its row's vector beside its column's.   [H, D / 2], [W, D / 2] -> [H * W, D]"""
    height, width = rows.shape[0], columns.shape[0]
    pairs = rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)
    return torch.cat(pairs, dim=-1).flatten(0, 1)


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """The mean of -log softmax(logits)[target] over samples and exits.   [..., B, C], i64[B] -> []"""
    target = target.expand(logits.shape[:-1])
    return F.cross_entropy(logits.flatten(0, -2), target.flatten(), label_smoothing=smoothing)
