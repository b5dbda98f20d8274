"""A model's weights as a file of fewer bits holds them, read back, and how far each may be from the model's.

w                         float32, the model's bit for bit; float16, the model's rounded
w_quantized, w_scale      int8 [D, width] and the step of each row: within half a step
w_blocks, w_scale, w_zero_point   two int4 to a byte, a step and a zero for each block: within half a step
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmspec.deploy.file import array, graphs, initializers
from mmspec.deploy.structure import FOREIGN, reachable

if TYPE_CHECKING:
    import onnx

QUANTIZED, BITS, SCALE, ZERO = "_quantized", "_blocks", "_scale", "_zero_point"
ROUNDING = 1e-4  # of a step: that of dividing by it in float32
HALF_MAX = float(np.finfo(np.float16).max)


def stored(proto: onnx.ModelProto) -> dict[str, str]:
    """How each weight of the file is held, by the model's name: "float32", "float16", "int8", "int4" or "as it is"."""
    found = {}
    for name, tensor in initializers(proto).items():
        if name.endswith(QUANTIZED):
            found[name.removesuffix(QUANTIZED)] = "int8"
        elif name.endswith(BITS):
            found[name.removesuffix(BITS)] = "int4"
        elif not name.endswith((SCALE, ZERO)):
            found[name] = {1: "float32", 10: "float16"}.get(tensor.data_type, "as it is")
    return found


def names_held(proto: onnx.ModelProto) -> set[str]:
    """The model's names of the weights in a file."""
    return set(stored(proto))


@dataclass(frozen=True)
class Asked:
    """How the weights of a file are to be held.   wanted: by name, where not float32; others may be any of `free`"""

    wanted: Mapping[str, str]
    free: tuple[str, ...] = ("float32",)

    def problems(self, proto: onnx.ModelProto, weights: Mapping[str, np.ndarray], live: set[str]) -> Iterator[str]:
        """What is wrong with the weights of a file.   weights: the model's; those in `live` must be there and lead to an output"""
        how, held, used = stored(proto), initializers(proto), reachable(proto.graph)
        for name in sorted(live):
            if name not in how:
                yield f"the weight {name} is missing"
            elif not {name, f"{name}{QUANTIZED}", f"{name}{BITS}"} & used:
                yield f"the weight {name} is there, but no output depends on it"
        for name in sorted(how.keys() & weights.keys()):
            free = self.free if weights[name].dtype == np.float32 else ("as it is",)
            asked = (self.wanted[name],) if name in self.wanted else free
            if how[name] not in asked:
                yield f"the weight {name} is held in {how[name]}, where {' or '.join(asked)} was asked for"
            elif problem := _differs(how[name], name, held, weights[name]):
                yield f"the weight {name} {problem}"
        for graph in graphs(proto.graph):
            for tensor in graph.initializer:
                if _model_name(tensor.name) not in weights and np.prod(tensor.dims) > FOREIGN:
                    yield f"the constant {tensor.name} of {list(tensor.dims)} is no parameter of the model"


def _model_name(name: str) -> str:
    for end in (QUANTIZED, BITS, SCALE, ZERO):
        name = name.removesuffix(end)
    return name


def _differs(how: str, name: str, held: Mapping[str, onnx.TensorProto], model: np.ndarray) -> str:
    """How the file's weight is not the model's; "" where it is."""
    if how in ("float32", "as it is"):
        value = array(held[name])
        same = value.dtype == model.dtype and value.shape == model.shape and value.tobytes() == model.tobytes()
        return "" if same else "is not the model's, bit for bit"
    if how == "float16":
        same = np.array_equal(array(held[name]), model.clip(-HALF_MAX, HALF_MAX).astype(np.float16))
        return "" if same else "is not the model's, rounded to float16"
    value, steps = integers_back(name, held) if how == "int8" else blocks_back(name, held, model.shape)
    if value.shape != model.shape:
        return f"is {list(value.shape)}, not {list(model.shape)}"
    away = np.abs(value - model) / steps
    worst = float(away.max(initial=0))
    return "" if worst <= 0.5 + ROUNDING else f"is {worst:.3g} steps from the model's, where half a step is rounding"


def integers_back(name: str, held: Mapping[str, onnx.TensorProto]) -> tuple[np.ndarray, np.ndarray]:
    """A weight and the step of each of its rows.   -> f64[width, D], f64[width, 1]"""
    steps = array(held[f"{name}{SCALE}"]).astype(np.float64)[:, None]
    return array(held[f"{name}{QUANTIZED}"]).T * steps, steps


def blocks_back(
    name: str, held: Mapping[str, onnx.TensorProto], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """A weight, and the step of each number.   -> f64[width, D] x 2"""
    integers = _unpacked(array(held[f"{name}{BITS}"]))  # [width, blocks, block]
    width, blocks, block = integers.shape
    steps = array(held[f"{name}{SCALE}"]).astype(np.float64).reshape(width, blocks, 1)
    zeros = _unpacked(array(held[f"{name}{ZERO}"]).reshape(width, -1))[:, :blocks, None]
    values = ((integers.astype(np.float64) - zeros) * steps).reshape(width, blocks * block)
    return values[:, : shape[1]], np.repeat(steps[..., 0], block, axis=1)[:, : shape[1]]


def _unpacked(pairs: np.ndarray) -> np.ndarray:
    """Two to a byte, the first in the lower half.   u8[..., n] -> u8[..., 2 n]"""
    return np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(*pairs.shape[:-1], -1)
