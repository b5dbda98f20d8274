"""FLOPs of products as torch runs them: torch's own formulas, corrected, and those that its registry lacks.

| operation | torch's registry | here |
|---|---|---|
| fused attention on the processor, forward and backward | nothing | 2 products forward, 5 backward: scores are computed once more |
| `_grouped_mm` (experts) | nothing | rows times both widths: a row meets one matrix |
| matrix times vector, vector times vector | nothing | 2 per multiply-add |
| backward of a convolution in g groups | the weights' gradient g times too high | over g |

A convolution's weight gradient joins every output channel with the C / g input channels of its group; torch's formula joins
it with all C, so that of a backward of two forwards it makes 1 + g: 97 for a depthwise one over 96 channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten
Formula = Callable[..., int]


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    shapes = grad.shape, query.shape, key.shape, value.shape
    return int(sdpa_backward_flop_count(*shapes))  # type: ignore[no-untyped-call]


def _grouped(a: Any, b: Any, *_: Any, **__: Any) -> int:
    """[M, K] by [G, K, N], [G, M, K] by [K, N], [M, K] by [K, N] (groups along what is ragged); of three axes each, by batch."""
    rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    batch = a.shape[0] if a.dim() == b.dim() == 3 else 1
    return int(2 * batch * rows * inner * columns)


def _convolution_backward(grad: Any, x: Any, weight: Any, *rest: Any, out: Any, **_: Any) -> int:
    """`rest`: sizes of the bias, stride, padding, dilation, transposed, output padding, groups, which gradients are wanted."""
    transposed, groups, wanted = rest[4], rest[6], rest[7]
    total = 0
    if wanted[0]:
        total += conv_flop_count(grad.shape, weight.shape, out[0].shape, not transposed)
    if wanted[1]:  # each output place joins the channels of a group on both sides, as forward
        places, kernel = (x if transposed else grad).shape, weight.shape
        total += 2 * places[0] * prod(places[2:]) * prod(kernel)
    assert groups >= 1
    return int(total)


LACKING: Mapping[Any, Formula] = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten._scaled_dot_product_fused_attention_overrideable: _attention,
    aten._scaled_dot_product_fused_attention_overrideable_backward: _attention_backward,
    aten._grouped_mm: _grouped,
    aten._scaled_grouped_mm: _grouped,
    aten.mv: lambda a, b, **_: 2 * a.numel(),
    aten.addmv: lambda bias, a, b, **_: 2 * a.numel(),
    aten.dot: lambda a, b, **_: 2 * a.numel(),
    aten.vdot: lambda a, b, **_: 2 * a.numel(),
    aten.addbmm: lambda bias, a, b, **_: 2 * a.numel() * b.shape[-1],
}

# products of which nobody has a formula here: where one of them runs, the count is what is known and no more
UNCOUNTED = (
    "_trilinear", "mkldnn_rnn_layer", "mkldnn_rnn_layer_backward", "_cudnn_rnn",
    "_cudnn_rnn_backward", "_fft_r2c", "_fft_c2c", "_fft_c2r", "_sparse_mm", "_sparse_addmm", "linalg_matrix_exp", "linalg_eig",
    "_linalg_eigh", "_linalg_svd", "linalg_qr", "linalg_lu_factor_ex", "linalg_cholesky_ex", "linalg_inv_ex", "_linalg_solve_ex",
    "linalg_solve_triangular", "_int_mm", "_weight_int8pack_mm", "_weight_int4pack_mm", "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
)  # fmt: skip


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the FLOPs of what runs inside.

    flops       in all;   by_operation: of each kind of torch's operations
    uncounted   how often a product ran of which there is no formula
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_operation: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()

    @property
    def flops(self) -> int:
        return sum(self.by_operation.values())

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if function.namespace == "prim":  # a tensor is asked about itself, nothing runs
            return NotImplemented
        keywords = keywords or {}
        packet = getattr(function, "_overloadpacket", function)
        known = packet in LACKING or packet in flop_registry
        if not known and _composite(function):
            with self:
                parts = function.decompose(*arguments, **keywords)
            if parts is not NotImplemented:
                return parts
        result = function(*arguments, **keywords)
        if known:
            self.by_operation[str(packet)] += _flops(packet, arguments, keywords, result)
        elif getattr(packet, "__name__", "") in UNCOUNTED:
            self.uncounted[packet.__name__] += 1
        return result


def _flops(packet: Any, arguments: Any, keywords: Any, result: Any) -> int:
    if packet is aten.convolution_backward:
        return _convolution_backward(*arguments, **keywords, out=result)
    if packet in LACKING:
        return LACKING[packet](*arguments, **keywords)
    return int(flop_registry[packet](*arguments, **keywords, out_val=result))


def _composite(function: Any) -> bool:
    """Whether it is made of other operations, and was not taken apart on the way here (as in inference mode)."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return isinstance(function, torch._ops.OpOverload) and function.has_kernel_for_dispatch_key(key)
