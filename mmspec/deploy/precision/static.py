r"""Static int8: the range of what each layer reads is known beforehand, from examples of the task.

For a linear layer y = x W^T + b, with integers q and steps s of its weight as in `dynamic`, and x between low and high:

    u8s8   t = (high - low) / 255        u = round(x / t) + z in 0..255, z the integer of zero      ONNX Runtime
    s8s8   t = max(-low, high) / 127     u = round(x / t) in -127..127, z = 0                       OpenVINO, TensorRT
    y = t s (u - z) q^T + b

In the file these are QuantizeLinear and DequantizeLinear around a float product, which runtimes read as a product of integers.
A number beyond the range is cut to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmspec.deploy.precision.calibration import Range
from mmspec.deploy.precision.dynamic import by_rows
from mmspec.deploy.precision.layers import Layer, Site
from mmspec.packaged.held import INPUT, QUANTIZED, SCALE, ZERO, step_of


@dataclass(frozen=True)
class Static:
    """Writes layers.   ranges: of what each module reads; signed: s8s8"""

    ranges: Mapping[str, Range]
    signed: bool

    def write(self, layer: Layer, weight: np.ndarray, site: Site) -> None:
        integers, steps = f"{layer.weight}{QUANTIZED}", f"{layer.weight}{SCALE}"
        if integers not in site.held:
            quantized, scale = by_rows(weight)
            site.held |= {integers: quantized.T, steps: scale}
        if layer.x not in site.shared:
            site.shared[layer.x] = (self._read(layer, site),)
        turned, product = f"{layer.y}_weight", f"{layer.y}_product" if layer.bias else layer.y
        site.add("DequantizeLinear", [integers, steps], [turned], axis=1)
        site.add("MatMul", [site.shared[layer.x][0], turned], [product])
        if layer.bias:
            site.add("Add", [product, layer.bias], [layer.y])

    def _read(self, layer: Layer, site: Site) -> str:
        """What the layer reads, as integers and back."""
        seen = self.ranges[layer.name]
        step, zero = step_of(seen.low, seen.high, self.signed)
        names = [f"{layer.name}{INPUT}{SCALE}", f"{layer.name}{INPUT}{ZERO}"]
        site.held |= dict(zip(names, (step, zero), strict=True))
        integers, read = f"{layer.x}_{layer.y}_integers", f"{layer.x}_{layer.y}_read"
        site.add("QuantizeLinear", [layer.x, *names], [integers])
        site.add("DequantizeLinear", [integers, *names], [read])
        return read
