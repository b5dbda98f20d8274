"""Matrix products that nobody will differentiate."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode


def inference_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b, on a CPU by oneDNN, which torch takes for convolutions; for products it takes MKL, which is at its best on the
    processors of its maker. What is compiled, watched, differentiated or of another type is torch's usual product.
    [..., D], [width, D] -> [..., width]"""
    usual = (
        torch.compiler.is_compiling()
        or not (x.device.type == weight.device.type == "cpu" and x.dtype == weight.dtype == torch.float32)
        or not (torch._C._has_mkldnn and torch.backends.mkldnn.enabled)
        or (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        or x.numel() == 0
        or torch.is_autocast_enabled("cpu")
        or _get_current_dispatch_mode() is not None
    )
    if usual:
        return F.linear(x, weight, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


class InferenceLinear(nn.Linear):
    """A linear layer whose product is `inference_linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return inference_linear(x, self.weight, self.bias)
