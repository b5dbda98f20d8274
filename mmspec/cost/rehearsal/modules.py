"""What stands for torch.nn: modules that hold parameters and call functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from mmspec.cost.rehearsal import layers
from mmspec.cost.rehearsal.dtypes import F32, Dtype
from mmspec.cost.rehearsal.pointwise import dropout
from mmspec.cost.rehearsal.products import linear
from mmspec.cost.rehearsal.state import STATE, NoRule
from mmspec.cost.rehearsal.tensor import Tensor, new


def parameter(table: Tensor, requires_grad: bool = True) -> Tensor:
    """A leaf, which knows whose it is."""
    table.requires_grad, table.home = requires_grad, STATE.place
    return table


class Module:
    """Attributes and a forward."""

    def __init__(self) -> None:
        pass

    @property
    def training(self) -> bool:
        return STATE.training

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        setattr(self, name, tensor)

    def register_parameter(self, name: str, tensor: Any) -> None:
        setattr(self, name, tensor)

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self.forward(*values, **named)

    def forward(self, *values: Any, **named: Any) -> Any:
        raise NoRule(type(self).__name__)


class ModuleList(Module):
    def __init__(self, modules: Iterable[Any] = ()) -> None:
        self.modules = list(modules)

    def __len__(self) -> int:
        return len(self.modules)

    def __getitem__(self, index: Any) -> Any:
        return self.modules[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.modules)


def weights_type(module: Any) -> Dtype:
    """Layers that say for themselves what is done to their weights keep single precision."""
    return F32 if any("_apply" in vars(kind) for kind in type(module).__mro__) else STATE.weights


class Linear(Module):
    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        dtype = weights_type(self)
        self.weight = parameter(new((outputs, inputs), dtype))
        self.bias = parameter(new((outputs,), dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class LayerNorm(Module):
    def __init__(self, shape: Any, eps: float = 1e-5, bias: bool = True) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.weight = parameter(new(self.shape, STATE.weights))
        self.bias = parameter(new(self.shape, STATE.weights)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return layers.layer_norm(x, self.shape, self.weight, self.bias)


class RMSNorm(Module):
    def __init__(self, size: int, eps: float | None = None) -> None:
        self.weight = parameter(new((size,), STATE.weights))

    def forward(self, x: Tensor) -> Tensor:
        return layers.rms_norm(x, self.weight.shape, self.weight)


class GroupNorm(Module):
    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        self.groups = groups
        self.weight, self.bias = (parameter(new((channels,), STATE.weights)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return layers.group_norm(x, self.groups, self.weight, self.bias)


class BatchNorm2d(Module):
    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        self.weight, self.bias = (parameter(new((channels,), STATE.weights)) for _ in range(2))
        self.running_mean, self.running_var = (new((channels,), STATE.weights) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return layers.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)


class Convolution(Module):
    axes = 2

    def __init__(
        self,
        channels: int,
        width: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        kernel = (kernel_size,) * self.axes if isinstance(kernel_size, int) else tuple(kernel_size)
        self.stride, self.padding, self.groups = stride, padding, groups
        self.weight = parameter(new((width, channels // groups, *kernel), STATE.weights))
        self.bias = parameter(new((width,), STATE.weights)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight, self.bias)

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return layers.convolution(x, weight, bias, self.stride, self.padding, self.groups)


class Conv1d(Convolution):
    axes = 1


class Conv2d(Convolution):
    axes = 2


class Conv3d(Convolution):
    axes = 3


class Dropout(Module):
    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)


MODULES = SimpleNamespace(
    Module=Module, ModuleList=ModuleList, Parameter=parameter, Linear=Linear, LayerNorm=LayerNorm, RMSNorm=RMSNorm,
    GroupNorm=GroupNorm, BatchNorm2d=BatchNorm2d, Conv1d=Conv1d, Conv2d=Conv2d, Conv3d=Conv3d, Dropout=Dropout,
)  # fmt: skip
