"""Layers of torch.nn.functional: convolutions, norms, attention, losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmspec.cost.rehearsal.dtypes import BF16, BOOL, F32
from mmspec.cost.rehearsal.indexing import is_channels_last
from mmspec.cost.rehearsal.pointwise import add, cast, div, mul, neg, plain, pow_, rsqrt, view_of
from mmspec.cost.rehearsal.products import lower, matmul, wider
from mmspec.cost.rehearsal.reductions import log_softmax, mean, sum_
from mmspec.cost.rehearsal.state import STATE
from mmspec.cost.rehearsal.tensor import Tensor, new, recorded
from mmspec.cost.rehearsal.views import transpose


def layer_norm(x: Tensor, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    result = new(x.shape, x.dtype)
    kept = (*x.shape[: x.ndim - len(shape)], *(1 for _ in shape))
    precise = F32 if weight is not None and weight.dtype == F32 else x.dtype
    mean_, scale = new(kept, precise), new(kept, precise)
    _unless_contiguous(x)

    def run(g: Tensor, needs: list[bool], x: Tensor, *_: Any) -> list[Any]:
        like = new(x.shape, x.dtype) if needs[0] else None
        _unless_contiguous(x)
        return [like, *(new(shape, precise) if need else None for need in needs[1:])]

    return recorded(result, [x, weight, bias], run, [x, mean_, scale])


def _unless_contiguous(x: Tensor) -> None:
    """A kernel that wants its input row by row copies it."""
    if not x.is_contiguous() and not STATE.watched:
        assert STATE.meter is not None
        STATE.meter.touch(x.bytes, STATE.place)


def rms_norm(x: Tensor, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Tensor:
    """Composed, where no kernel is fused."""
    dtype = x.dtype
    wide = cast(x, F32)
    scale = rsqrt(mean(pow_(wide, 2), -1, True))
    result = mul(wide, scale)
    result = mul(result, weight) if weight is not None else result
    return cast(result, dtype)


def group_norm(x: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    result = new(x.shape, x.dtype, x if is_channels_last(x) else None)
    mean_, scale = new((x.shape[0], groups), F32), new((x.shape[0], groups), F32)
    size = x.shape[1]

    def run(g: Tensor, needs: list[bool], x: Tensor, *_: Any) -> list[Any]:
        return [new(x.shape, x.dtype, x), *(new((size,), F32) if need else None for need in needs[1:])]

    return recorded(result, [x, weight, bias], run, [x, mean_, scale])


def batch_norm(
    x: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    *_: Any,
) -> Tensor:
    size = (x.shape[1],)
    result = new(x.shape, x.dtype, x)
    kept = [new(size, F32), new(size, F32)] if training else []

    def run(g: Tensor, needs: list[bool], x: Tensor, *_: Any) -> list[Any]:
        return [new(x.shape, x.dtype, x) if needs[0] else None, *(new(size, F32) if n else None for n in needs[1:])]

    return recorded(result, [x, weight, bias], run, [x, *kept])


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, groups: int) -> Tensor:
    """Kernels' own scratch is not counted: it is another on every processor."""
    bias, weight, x = lower(bias), lower(weight), lower(x)  # type: ignore[assignment]
    axes = weight.ndim - 2
    strides, paddings = ((n,) * axes if isinstance(n, int) else tuple(n) for n in (stride, padding))
    sizes = [
        (size + 2 * p - k) // s + 1
        for size, k, s, p in zip(x.shape[2:], weight.shape[2:], strides, paddings, strict=True)
    ]
    shape = (x.shape[0], weight.shape[0], *sizes)
    last = is_channels_last(x)
    result = _lying(shape, x, last)
    kernel, width = weight.shape, weight.shape[0]

    def run(g: Tensor, needs: list[bool], x: Tensor, weight: Any) -> list[Any]:
        own = _lying(x.shape, x, last) if needs[0] else None
        theirs = new(kernel, g.dtype) if needs[1] else None
        return [own, theirs, new((width,), g.dtype) if needs[2] else None]

    return recorded(result, [x, weight, bias], run, [x, weight])


def _lying(shape: tuple[int, ...], x: Tensor, last: bool) -> Tensor:
    """Channels last, where the input's are."""
    result = new(shape, x.dtype)
    if last:
        _, c, h, w = shape
        result.strides = (c * h * w, 1, w * c, c)
    return result


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Fused, or, where the mask has a gradient, written out. Types as autocast wants them."""
    if attn_mask is not None:
        attn_mask = lower(attn_mask)
    value, key, query = lower(value), lower(key), lower(query)  # type: ignore[assignment]
    if attn_mask is not None and attn_mask.dtype == BOOL:
        attn_mask = new(attn_mask.shape, query.dtype)
    learned = attn_mask is not None and attn_mask.requires_grad and STATE.gradients
    if STATE.materialised or learned or query.shape[-1] != value.shape[-1] or query.shape[1] != key.shape[1]:
        return _written_out(query, key, value, attn_mask, is_causal)
    if any(x.strides[-1] != 1 for x in (query, key, value)):
        return _written_out(query, key, value, attn_mask, is_causal)
    return _fused(query, key, value, attn_mask)


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    batch, heads, tokens, _ = query.shape
    result = new(query.shape, query.dtype, query)
    sums = new((batch, tokens, heads), F32)

    def run(g: Tensor, needs: list[bool], query: Tensor, key: Tensor, value: Tensor, *_: Any) -> list[Any]:
        like = [
            transpose(new((x.shape[0], x.shape[2], x.shape[1], x.shape[3]), x.dtype), 1, 2) for x in (query, key, value)
        ]
        return like

    saved = [query, key, value, view_of(result), sums, mask]
    return recorded(view_of(result), [query, key, value], run, saved)


def _written_out(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    dtype = query.dtype
    if dtype == BF16:
        query, key, value = cast(query, F32), cast(key, F32), cast(value, F32)
    with_none = STATE.autocast
    STATE.autocast = None
    try:
        scaled = mul(query, 0.5)  # torch's function holds what it begins with to its end
        if causal:
            allowed = new((query.shape[2], key.shape[2]), BOOL)
            allowed = plain(allowed)
            mask = new(allowed.shape, query.dtype)
            del allowed
        scores = matmul(scaled, mul(transpose(key, -2, -1), 0.5))
        if mask is not None:
            scores = _added(scores, mask)
        weights = _safe_softmax(scores)
        del scores
        returned = cast(weights, dtype)  # torch's function gives the weights too, which nobody takes
        result = cast(matmul(weights, value), dtype)
        del returned
        return result
    finally:
        STATE.autocast = with_none


def _added(scores: Tensor, mask: Tensor) -> Tensor:
    """The mask is added where the scores lie, but for whoever watches."""
    if STATE.watched:
        return add(scores, mask)
    return recorded(view_of(scores), [scores, mask], lambda g, needs: [g if need else None for need in needs])


def _safe_softmax(scores: Tensor) -> Tensor:
    """Zeros for a row of which everything is forbidden."""
    result = new(scores.shape, scores.dtype)
    assert STATE.meter is not None
    if not STATE.watched:
        STATE.meter.touch(scores.numel(), STATE.place)
    return recorded(result, [scores], lambda g, needs, y: new(y.shape, y.dtype), [view_of(result)])


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    said = log_softmax(wider(logits), 1)
    del logits
    if target.dtype.floating:
        total = neg(sum_(mul(said, target)))
        return div(total, float(said.shape[0]))
    whole = reduction == "mean"
    before, dtype = said.shape, said.dtype
    loss = new((), F32) if whole else new(target.shape, F32)
    count = new((), F32)
    del whole
    missed = recorded(loss, [said], lambda g, needs, *_: new(before, dtype), [said, target, count])
    if not label_smoothing:
        return missed
    smooth = neg(sum_(said, 1))
    if reduction == "mean":
        smooth = mean(smooth)
    return add(mul(missed, 1 - label_smoothing), mul(smooth, label_smoothing / before[1]))


def max_pool(x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, **_: Any) -> Tensor:
    axes = x.ndim - 2
    kernels, strides, paddings = (
        (n,) * axes if isinstance(n, int) else tuple(n) for n in (kernel, stride or kernel, padding)
    )
    sizes = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape[2:], kernels, strides, paddings, strict=True)]
    shape = (*x.shape[:2], *sizes)
    result, places = new(shape, x.dtype), new(shape, BOOL._replace(bytes=8, name="i64"))
    recorded(result, [x], lambda g, needs, x, places: new(x.shape, x.dtype), [x, places])
    return result


def interpolate(x: Tensor, size: Any = None, mode: str = "nearest", **_: Any) -> Tensor:
    before = x.shape
    return recorded(new((*x.shape[:2], *size), x.dtype), [x], lambda g, needs: new(before, g.dtype))


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, dim: int = -1) -> Tensor:
    from mmspec.cost.rehearsal.reductions import softmax

    drawn = plain(plain(logits))
    soft = softmax(div(add(logits, drawn), tau), dim)
    if not hard:
        return soft
    return add(plain(soft), soft)
