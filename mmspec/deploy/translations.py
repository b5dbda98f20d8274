"""What torch's operations are in ONNX, where torch's own translation of them fails, is long, or is another number."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import onnx
import torch

INT64_MAX = 2**63 - 1


def _less_or_equal(left: Any, right: Any) -> Any:
    """torch bounds the sizes that it knows only at run time by numbers beyond int64; a size is below int64's own end as well."""
    from onnxscript import opset18 as op

    left, right = (min(side, INT64_MAX) if isinstance(side, int) else side for side in (left, right))
    return op.LessOrEqual(left, right)


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(q k^T / sqrt(d)) v, in five operators; torch's translation takes twenty, which ONNX Runtime does not fuse. Where
    it is causal, the scores of later keys are the least there are.
    [B, h, N, d], [B, h, M, d], [B, h, M, d] -> [B, h, N, d]"""
    from onnxscript import opset18

    op: Any = opset18  # whose types know tensors of a model only, and not the numbers that it turns into tensors
    assert attn_mask is None and not enable_gqa, "masks are written out by runtime.attention"
    width = query.shape[3]
    scores = op.MatMul(query, op.Transpose(key, perm=[0, 1, 3, 2]))
    scores = op.Mul(scores, float(width) ** -0.5 if scale is None else scale)
    if is_causal:
        past = op.Cast(op.Trilu(op.Expand(1.0, op.Shape(scores)), upper=0), to=onnx.TensorProto.BOOL)
        scores = op.Where(past, scores, torch.finfo(torch.float32).min)
    return op.MatMul(op.Softmax(scores, axis=-1), value)


def _divided(x: Any, by: Any, rounding_mode: str | None = None) -> Any:
    """Integers are divided as integers, and without a rest: what is left over is taken away before.

    torch's translation makes floating-point numbers of them on the way, of which a runtime that computes in bfloat16 keeps 8 bits:
    the 1,001st place would become the 1,000th. OpenVINO computes a division in one kernel with the sum before it, and rounds where
    ONNX cuts off: 35 / 4 is 9 there.
    """
    from onnxscript import opset18
    from onnxscript.function_libs.torch_lib.ops.core import aten_div_mode

    op: Any = opset18
    if rounding_mode is not None and x.dtype.is_integer():
        by = op.CastLike(by, x)
        return op.Div(op.Sub(x, op.Mod(x, by, fmod=int(rounding_mode == "trunc"))), by)
    return aten_div_mode(x, by, rounding_mode)


def _floor_divided(x: Any, by: Any) -> Any:
    """`x // by`: see `_divided`."""
    return _divided(x, by, "floor")


def _cast(x: Any, dtype: Any, non_blocking: bool = False, copy: bool = False, memory_format: Any = None) -> Any:
    from onnxscript import opset18

    op: Any = opset18
    return op.Cast(x, to=dtype) if x.dtype != dtype else op.Identity(x)


def _both(x: Any, y: Any) -> Any:
    """`x & y`, of truths, or of integers bit by bit; torch's translation knows it under another name."""
    from onnxscript.function_libs.torch_lib.ops.core import aten_bitwise_and

    return aten_bitwise_and(x, y)


def _either(x: Any, y: Any) -> Any:
    """`x | y`: see `_both`."""
    from onnxscript.function_libs.torch_lib.ops.core import aten_bitwise_or

    return aten_bitwise_or(x, y)


def _squared(x: Any) -> Any:
    from onnxscript import opset18

    return opset18.Mul(x, x)


def _rms_normalised(x: Any, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """x / sqrt(mean(x^2) + eps) * weight, over the last axes, in the operators that ONNX Runtime fuses."""
    from onnxscript import opset18

    op: Any = opset18
    least = torch.finfo(torch.float32).eps if eps is None else eps
    mean = op.ReduceMean(op.Pow(x, op.CastLike(2.0, x)), [*range(-len(shape), 0)], keepdims=1)
    normal = op.Div(x, op.Sqrt(op.Add(mean, op.CastLike(least, x))))
    return normal if weight is None else op.Mul(normal, weight)


def _subtracted_from(x: Any, number: Any, alpha: float = 1) -> Any:
    """number - x, for a number that Python knows: a real one makes real numbers of integers."""
    from onnxscript import opset18

    op: Any = opset18
    if x.dtype.is_integer() and (isinstance(number, float) or isinstance(alpha, float)):
        x = op.Cast(x, to=onnx.TensorProto.FLOAT)
    return op.Sub(op.CastLike(number, x), x if alpha == 1 else op.Mul(x, op.CastLike(alpha, x)))


def _index_copied(x: Any, dim: int, index: Any, source: Any) -> Any:
    """[..., N, ...], i64[n], [..., n, ...] -> [..., N, ...]"""
    from onnxscript import opset18

    op: Any = opset18
    order = [*range(len(x.shape))]
    order[0], order[dim] = order[dim], order[0]  # its own inverse
    if order[0]:
        x, source = op.Transpose(x, perm=order), op.Transpose(source, perm=order)
    found = op.ScatterND(x, op.Unsqueeze(index, [-1]), source, reduction=None)  # written out, TensorRT 10.3 refuses it
    return op.Transpose(found, perm=order) if order[0] else found


def _unflattened(x: Any, dim: int, sizes: Sequence[Any]) -> Any:
    """[..., a * b, ...] -> [..., a, b, ...]"""
    rank = len(x.shape)
    dim %= rank
    return _reshaped(x, [*range(dim)], list(sizes), [*range(dim + 1, rank)])


def _flattened(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """[..., a, b, ...] -> [..., a * b, ...]"""
    from onnxscript import opset18

    op: Any = opset18
    rank = len(x.shape)
    if rank == 0:
        return op.Reshape(x, [1])
    start, end = start_dim % rank, end_dim % rank + 1
    merged: Any = math.prod(x.shape[start:end]) if all(isinstance(size, int) for size in x.shape[start:end]) else None
    if merged is None:
        merged = op.Shape(x, start=start, end=start + 1)
        for axis in range(start + 1, end):
            merged = op.Mul(merged, op.Shape(x, start=axis, end=axis + 1))
    return _reshaped(x, [*range(start)], [merged], [*range(end, rank)])


def _reshaped(x: Any, before: Sequence[int], sizes: Sequence[Any], after: Sequence[int]) -> Any:
    """Axes `before` and `after` as they are and `sizes` between them. Where all of them are known, or stand where they stood, the
    shape is a constant, in which 0 is a size that stays; -1 is never written for one that may be 0."""
    from onnxscript import opset18

    op: Any = opset18
    kept = [size if isinstance(size, int) else 0 for size in (x.shape[axis] for axis in before)]
    rest = [x.shape[axis] for axis in after]
    if all(isinstance(size, int) and size > 0 for size in (*sizes, *rest)):
        return op.Reshape(x, op.Constant(value_ints=[*kept, *sizes, *rest]))
    parts = [op.Shape(x, start=0, end=len(before))] if before else []
    parts += [op.Constant(value_ints=[size]) if isinstance(size, int) else op.Reshape(size, [1]) for size in sizes]
    parts += [op.Shape(x, start=after[0], end=after[-1] + 1)] if after else []
    return op.Reshape(x, op.Concat(*parts, axis=0), allowzero=1)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.le: _less_or_equal,
    torch.ops.aten.scaled_dot_product_attention.default: _attention,
    torch.ops.aten.div.Tensor_mode: _divided,
    torch.ops.aten.floor_divide.default: _floor_divided,
    # what torch would decompose first; see `tracing.translated`
    torch.ops.aten.to.dtype: _cast,
    torch.ops.aten.__and__.Tensor: _both,
    torch.ops.aten.__or__.Tensor: _either,
    torch.ops.aten.square.default: _squared,
    torch.ops.aten.rms_norm.default: _rms_normalised,
    torch.ops.aten.rsub.Scalar: _subtracted_from,
    torch.ops.aten.index_copy.default: _index_copied,
    torch.ops.aten.unflatten.int: _unflattened,
    torch.ops.aten.flatten.using_ints: _flattened,
}
