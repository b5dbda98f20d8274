"""Functions of tensors and masks. A mask is bool, True where a token is present."""

import torch
import torch.nn.functional as F
from torch import Tensor


def token_mask(
    ids: Tensor, given: Tensor | None, pad: int | None, begun: bool = False, end: int | None = None
) -> Tensor:
    """The mask that was given; or all up to the first `end`; or every id that is not padding, and the first where texts have
    `begun` with a start of their own.   i64[B, N] -> bool[B, N]"""
    if given is not None:
        return given
    if end is not None:
        ended = ids.eq(end).to(torch.int64)
        return ended.cumsum(dim=1).eq(ended)
    if pad is None:
        return torch.ones_like(ids, dtype=torch.bool)
    present = ids.ne(pad)
    return torch.cat([torch.ones_like(present[:, :1]), present[:, 1:]], dim=1) if begun else present


def biased_scores(query: Tensor, key: Tensor, bias: Tensor | None, scale: float | None) -> Tensor:
    """q k^T * scale + bias, the scale 1 / sqrt(d) unless given.   [..., N, d], [..., M, d], [..., N, M] -> [..., N, M]"""
    scores = torch.matmul(query, key.transpose(-2, -1)) * (query.shape[-1] ** -0.5 if scale is None else scale)
    return scores if bias is None else scores + bias


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    prefix: int = 0,
) -> Tensor:
    """softmax(q k^T * scale + bias) v over the keys that are present and, where causal, not later; zeros where none is. The first
    `prefix` keys are never later.

    Shapes   [B, h, N, d], [B, g, M, d], [B, g, M, e], mask bool[B, M], bias [h, N, M] or [W, h, N, M] -> [B, h, N, e]
    """
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    if bias is not None and bias.dim() == 4:  # windows of all samples lie in the batch, sample by sample
        bias = bias.repeat(query.shape[0] // bias.shape[0], 1, 1, 1)
    allowed = None if mask is None else mask[:, None, None, :]
    if causal and (prefix or allowed is not None or bias is not None or torch.compiler.is_exporting()):
        places = torch.arange(key.shape[2], device=key.device)
        past = places <= places[: query.shape[2], None].clamp(min=prefix - 1)
        allowed = past if allowed is None else allowed & past
    if not torch.compiler.is_exporting():
        if bias is not None:
            bias = bias if bias.dim() == 4 else bias[None]
            allowed = bias if allowed is None else bias.masked_fill(~allowed, float("-inf"))
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=allowed, is_causal=causal and allowed is None, scale=scale
        )
    # other runtimes turn a row without keys into a uniform average; written out, it is zeros everywhere
    scores = biased_scores(query, key, bias, scale)
    if allowed is None:
        return torch.matmul(scores.softmax(dim=-1), value)
    weights = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return torch.matmul(weights * allowed.any(dim=-1, keepdim=True), value)


def rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False, first: int = 0) -> Tensor:
    """Each pair of channels turned by its place's angle.   [B, h, N, d], [N, d / 2], [N, d / 2] -> [B, h, N, d]"""
    if first:
        return torch.cat([x[:, :, :first], rotate(x[:, :, first:], cos, sin, interleaved)], dim=2)
    if interleaved:
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def relative_bias(table: Tensor, index: Tensor) -> Tensor:
    """The table's entry for each pair of tokens.   [R, h], i64[N, M] -> [h, N, M]"""
    return F.embedding(index, table).permute(2, 0, 1)


def distance_bias(table: Tensor, buckets: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """The entry of the bucket of each distance, key minus query.   [R, h], i64[2 L - 1], [B, N, D], [B, M, D] -> [h, N, M]"""
    middle = buckets.shape[0] // 2
    at = torch.arange(keys.shape[1], device=keys.device) - torch.arange(queries.shape[1], device=keys.device)[:, None]
    return F.embedding(F.embedding(at + middle, buckets[:, None]).squeeze(-1), table).permute(2, 0, 1)


def place_bias(table: Tensor, buckets: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """The same for the places of each sample's tokens.   [R, h], i64[2 L - 1], i64[B, N], i64[B, M] -> [B, h, N, M]"""
    at = keys[:, None, :] - queries[:, :, None] + buckets.shape[0] // 2
    return F.embedding(F.embedding(at, buckets[:, None]).squeeze(-1), table).permute(0, 3, 1, 2)


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


def resampled(table: Tensor, map: Tensor, grid: tuple[int, int], first: int) -> Tensor:
    """The places of a map's grid from a table for another: the first rows stay, the rest is interpolated as an image is.
    [first + R * C, D], [B, E, H, W] -> [first + H * W, D]"""
    sides = (map.shape[2], map.shape[3])
    if sides == grid:
        return table
    image = table[first:].t().reshape(1, table.shape[1], grid[0], grid[1])
    places = F.interpolate(image, size=sides, mode="bicubic", align_corners=False).flatten(2)[0].t()
    return torch.cat([table[:first], places]) if first else places


def insert_tokens(x: Tensor, tokens: Tensor, ids: Tensor, placeholder: int) -> Tensor:
    """The k-th of the tokens at the k-th place of its sample whose id is the placeholder.
    [B, N, D], [B, M, D], i64[B, N] -> [B, N, D].   Raises ValueError: another number of places than of tokens"""
    places = ids.eq(placeholder)
    if not torch.compiler.is_exporting():
        counts = places.sum(dim=1)
        if not bool((counts == tokens.shape[1]).all()):
            found = int(counts[counts != tokens.shape[1]][0])
            raise ValueError(f"a text keeps {found} places (id {placeholder}) for {tokens.shape[1]} tokens")
    order = (places.cumsum(dim=1) - 1).clamp(0, tokens.shape[1] - 1)
    placed = tokens.gather(1, order[:, :, None].expand(-1, -1, tokens.shape[2]))
    return torch.where(places[:, :, None], placed, x)


def token_cross_entropy(logits: Tensor, target: Tensor, mask: Tensor | None, smoothing: float) -> Tensor:
    """The mean of -log softmax(logits)[target] over tokens that are present and whose target is not negative; 0 where none is.
    [B, N, V], i64[B, N], bool[B, N] -> []"""
    asked = target >= 0 if mask is None else mask & (target >= 0)
    target = target.masked_fill(~asked, -1).flatten()
    losses = F.cross_entropy(logits.flatten(0, 1), target, ignore_index=-1, label_smoothing=smoothing, reduction="none")
    return losses.sum() / asked.sum().clamp(min=1)


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """The mean of -log softmax(logits)[target] over samples and exits.   [..., B, C], i64[B] -> []"""
    target = target.expand(logits.shape[:-1])
    return F.cross_entropy(logits.flatten(0, -2), target.flatten(), label_smoothing=smoothing)


def self_distillation(said: Tensor, taught: Tensor, student: float, teacher: float | Tensor) -> Tensor:
    """The mean over samples and pairs of different views of -softmax(taught / teacher) log softmax(said / student)
    (arXiv:2104.14294, eq. 3).   [B, S, K], [B, T, K] -> []"""
    target = (taught.detach() / teacher).softmax(dim=-1)
    losses = -target @ (said / student).log_softmax(dim=-1).transpose(1, 2)  # [B, T, S]
    others = 1 - torch.eye(taught.shape[1], said.shape[1], dtype=losses.dtype, device=losses.device)
    return (losses * others).sum() / (others.sum() * losses.shape[0])


def masked_error(predicted: Tensor, target: Tensor, masked: Tensor, normalise: bool) -> Tensor:
    """Mean squared error of each patch, the mean over those that are masked (arXiv:2111.06377, sec. 3).
    [B, N, P], [B, N, P], bool[B, N] -> []"""
    if normalise:
        target = (target - target.mean(dim=-1, keepdim=True)) / (target.var(dim=-1, keepdim=True) + 1e-6).sqrt()
    weight = masked.to(predicted.dtype)
    return ((predicted - target).square().mean(dim=-1) * weight).sum() / weight.sum()
