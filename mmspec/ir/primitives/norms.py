"""Normalisation: each with a gain, which begins at one unless `init` says otherwise, most with a bias, over the channels."""

from __future__ import annotations

from typing import Any

from mmspec.ir.graph import Init, Op, Parameter, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, primitive

ONES = Init("ones")


class Norm(Primitive):
    axis = -1  # of the channels

    def size(self, x: Value) -> int:
        size = x.shape[self.axis]
        assert isinstance(size, int)
        return size

    def parameters(self, x: Value, *, init: Init = ONES, **_: Any) -> tuple[Parameter, ...]:
        size = (self.size(x),)
        return (Parameter("weight", size, init), Parameter("bias", size, Init("zeros")))

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class LayerNorm(Norm):
    """(x - mean) / sqrt(var + eps) * weight + bias over channels.   [..., D] -> [..., D]"""

    kind = "layer_norm"
    tokenwise = True
    operations = 7

    def parameters(self, x: Value, *, eps: float, bias: bool = True, init: Init = ONES) -> tuple[Parameter, ...]:
        return super().parameters(x, init=init)[: 1 + bias]

    def make(self, torch: Any, op: Op) -> Any:
        unusual = {} if op.attributes.get("bias", True) else {"bias": False}
        return torch.nn.LayerNorm(op.inputs[0].width, eps=op.attributes["eps"], **unusual)


@primitive
class RmsNorm(Norm):
    """x / sqrt(mean(x^2) + eps) * weight over channels (arXiv:1910.07467).   [..., D] -> [..., D]"""

    kind = "rms_norm"
    tokenwise = True
    operations = 4

    def parameters(self, x: Value, *, eps: float) -> tuple[Parameter, ...]:
        return super().parameters(x)[:1]

    def make(self, torch: Any, op: Op) -> Any:
        return torch.nn.RMSNorm(op.inputs[0].width, eps=op.attributes["eps"])


@primitive
class GroupNorm(Norm):
    """Layer norm of each group of channels over the whole map (arXiv:1803.08494).   [B, C, ...] -> [B, C, ...]"""

    kind = "group_norm"
    operations = 7
    axis = 1

    def parameters(self, x: Value, *, groups: int, eps: float, init: Init = ONES) -> tuple[Parameter, ...]:
        if self.size(x) % groups:
            raise ShapeError(f"{groups} groups do not divide {self.size(x)} channels")
        return super().parameters(x, init=init)

    def make(self, torch: Any, op: Op) -> Any:
        return torch.nn.GroupNorm(op.attributes["groups"], op.inputs[0].shape[1], eps=op.attributes["eps"])


@primitive
class BatchNorm(Norm):
    """Statistics of the batch in training, running ones at inference (arXiv:1502.03167).   [B, C, H, W] -> [B, C, H, W]"""

    kind = "batch_norm"
    operations = 4
    axis = 1

    def parameters(self, x: Value, **attributes: Any) -> tuple[Parameter, ...]:
        size = (self.size(x),)
        return (
            *super().parameters(x, **attributes),
            Parameter("running_mean", size, Init("zeros"), trainable=False, buffer="f32"),
            Parameter("running_var", size, Init("ones"), trainable=False, buffer="f32"),
            Parameter("num_batches_tracked", (), Init("zeros"), trainable=False, buffer="i64"),
        )

    def make(self, torch: Any, op: Op) -> Any:
        return torch.nn.BatchNorm2d(op.inputs[0].shape[1], eps=op.attributes["eps"])


@primitive
class Centred(Norm):
    """x less the mean of all batches so far, of which `keep` stays at each step in training (arXiv:2104.14294, eq. 4).
    [B, D] -> [B, D]"""

    kind = "centred"

    def parameters(self, x: Value, *, keep: float) -> tuple[Parameter, ...]:
        return (Parameter("mean", (self.size(x),), Init("zeros"), trainable=False, buffer="f32"),)

    def make(self, torch: Any, op: Op) -> Any:
        return torch.runtime.Centred(op.inputs[0].width, keep=op.attributes["keep"])
