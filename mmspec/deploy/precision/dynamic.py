r"""Dynamic int8: weights are integers in the file, and the numbers that meet them become integers when the file runs.

For a linear layer y = x W^T + b with W f32[width, D]:

    s_j = max_i |W_ji| / 127            q_ji = round(W_ji / s_j)            once, an int8 for each weight, a step for each row
    t, z, u = DynamicQuantizeLinear(x)                                      for each batch, a uint8 for each number
    y = t s (u - z) q^T + b                                                 a product of integers, int32

The step t spans the batch's least and largest number, so that an answer depends a little on what else is in the batch.

Source   ONNX operators DynamicQuantizeLinear, MatMulInteger; ONNX Runtime fuses these nodes to one, DynamicQuantizeMatMul
"""

from __future__ import annotations

import numpy as np

from mmspec.deploy.precision.layers import Layer, Site
from mmspec.packaged.held import QUANTIZED, SCALE

FLOAT = 1  # of onnx.TensorProto


def by_rows(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers and the step of each row; a row of zeros has step 1.   f32[width, D] -> i8[width, D], f32[width]"""
    largest = np.abs(weight).max(axis=1, initial=0)
    steps = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(weight / steps[:, None]).clip(-127, 127).astype(np.int8), steps


def write(layer: Layer, weight: np.ndarray, site: Site) -> None:
    """The layer's nodes."""
    integers, steps = f"{layer.weight}{QUANTIZED}", f"{layer.weight}{SCALE}"
    if integers not in site.held:
        quantized, scale = by_rows(weight)
        site.held |= {integers: quantized.T, steps: scale}
    if layer.x not in site.shared:
        site.shared[layer.x] = tuple(f"{layer.x}_{layer.y}_{part}" for part in ("integers", "step", "zero"))
        site.add("DynamicQuantizeLinear", [layer.x], site.shared[layer.x])
    x, step, zero = site.shared[layer.x]
    product, scaled = layer.y if not layer.bias else f"{layer.y}_product", f"{layer.y}_step"
    site.add("MatMulInteger", [x, integers, zero], [f"{layer.y}_integers"])
    site.add("Cast", [f"{layer.y}_integers"], [f"{layer.y}_sum"], to=FLOAT)
    site.add("Mul", [step, steps], [scaled])
    site.add("Mul", [f"{layer.y}_sum", scaled], [product])
    if layer.bias:
        site.add("Add", [product, layer.bias], [layer.y])
