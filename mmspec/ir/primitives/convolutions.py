"""Convolutions over one, two or three axes."""

from __future__ import annotations

import math
from typing import Any

from mmspec.ir.dims import Dim, Shape, product
from mmspec.ir.graph import Init, Op, Parameter, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, ShapeOf, primitive, shape_text

Sizes = tuple[int, ...]


@primitive
class Convolution(Primitive):
    """A convolution over all axes after the channels.
    [B, C, S_1, ...] -> [B, width, (S_1 + 2 padding_1 - kernel_1) / stride_1 + 1, ...]

    With `standardize`, an epsilon, each filter is brought to mean 0 and variance 1 before it is applied (arXiv:1903.10520)."""

    kind = "convolution"
    family = "convolution"

    def infer(
        self, x: Value, *, width: int, kernel: Sizes, stride: Sizes, padding: Sizes, groups: int, **_: Any
    ) -> tuple[Shape, str]:
        channels = x.shape[1]
        assert isinstance(channels, int) and len(kernel) == len(x.shape) - 2
        if channels % groups or width % groups:
            raise ShapeError(f"{groups} groups do not divide {channels} and {width} channels")
        sizes: list[Dim] = []
        for size, k, s, p in zip(x.shape[2:], kernel, stride, padding, strict=True):
            if not isinstance(size, int):
                assert s == 1, "how often a stride fits is known of fixed sizes only"
                sizes.append(size + (2 * p - k + 1))
                continue
            if size + 2 * p < k:
                raise ShapeError(f"a kernel of {k} is larger than the map {shape_text(x.shape)}")
            sizes.append((size + 2 * p - k) // s + 1)
        return (x.shape[0], width, *sizes), x.dtype

    def mask(self, *inputs: Value, **_: Any) -> None:
        return None

    def parameters(
        self, x: Value, *, width: int, kernel: Sizes, groups: int, bias: bool, init: Init, **_: Any
    ) -> tuple[Parameter, ...]:
        channels = x.shape[1]
        assert isinstance(channels, int)
        weight = Parameter("weight", (width, channels // groups, *kernel), init)
        return (weight, Parameter("bias", (width,), Init("zeros"))) if bias else (weight,)

    def pointwise(self, op: Op, shape: ShapeOf) -> Dim:
        return product(shape(op.outputs[0])) if op.attributes["bias"] else 0

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        channels = op.inputs[0].shape[1]
        assert isinstance(channels, int)
        each: int = channels // op.attributes["groups"] * math.prod(op.attributes["kernel"])
        return 2 * product(shape(op.outputs[0])) * each

    def make(self, torch: Any, op: Op) -> Any:
        a = op.attributes
        unusual: dict[str, Any] = {}
        if any(a["padding"]):
            unusual["padding"] = _said(a["padding"])
        if a["groups"] != 1:
            unusual["groups"] = a["groups"]
        if not a["bias"]:
            unusual["bias"] = False
        layer = getattr(torch.nn, f"Conv{len(a['kernel'])}d")
        if "standardize" in a:
            layer, unusual["eps"] = torch.runtime.StandardizedConv2d, a["standardize"]
        sizes = {"kernel_size": _said(a["kernel"]), "stride": _said(a["stride"])}
        return layer(op.inputs[0].shape[1], a["width"], **sizes, **unusual)

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


def _said(sizes: Sizes) -> int | Sizes:
    """One number where all are alike."""
    return sizes[0] if len(set(sizes)) == 1 else sizes
