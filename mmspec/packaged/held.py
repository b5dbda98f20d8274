"""A model's weights as a file holds them, read back, and how far each may be from the model's.

w                         float32, the model's bit for bit; float16, the model's rounded
w_quantized, w_scale      int8 [D, width] and the step of each row: within half a step
w_blocks, w_scale, w_zero_point   two int4 to a byte, a step and a zero for each block: within half a step

A step is no longer than what its row or block spans asks for: with one that is long enough, zero would be within half of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

QUANTIZED, BITS, SCALE, ZERO = "_quantized", "_blocks", "_scale", "_zero_point"
ROUNDING = 1e-4  # of a step: that of dividing by it in float32
HALF_MAX = float(np.finfo(np.float16).max)

Read = Callable[[str], np.ndarray]  # what a file holds under a name; KeyError where it holds nothing


def stored(proto: onnx.ModelProto) -> dict[str, str]:
    """How each weight of the file is held, by the model's name: "float32", "float16", "int8", "int4" or "as it is"."""
    found = {}
    for tensor in proto.graph.initializer:
        name = tensor.name
        if name.endswith(QUANTIZED):
            found[name.removesuffix(QUANTIZED)] = "int8"
        elif name.endswith(BITS):
            found[name.removesuffix(BITS)] = "int4"
        elif not name.endswith((SCALE, ZERO)):
            found[name] = {1: "float32", 10: "float16"}.get(tensor.data_type, "as it is")
    return found


def model_name(name: str) -> str:
    """Of an initialiser, the name of the weight that it is, or is a part of."""
    for end in (QUANTIZED, BITS, SCALE, ZERO):
        name = name.removesuffix(end)
    return name


def differs(how: str, name: str, read: Read, model: np.ndarray) -> str:
    """How the file's weight is not the model's; "" where it is."""
    try:
        return _rounded(how, name, read, model) if how in STEPS else _same(how, read(name), model)
    except KeyError as error:
        return f"lacks {error.args[0]}"


def _same(how: str, value: np.ndarray, model: np.ndarray) -> str:
    if how == "float16":
        wanted, told = model.clip(-HALF_MAX, HALF_MAX).astype(np.float16), "rounded to float16"
    else:
        wanted, told = model, "bit for bit"
    same = value.dtype == wanted.dtype and value.shape == wanted.shape and value.tobytes() == wanted.tobytes()
    return "" if same else f"is not the model's, {told}"


def _rounded(how: str, name: str, read: Read, model: np.ndarray) -> str:
    value, steps, asked = STEPS[how](name, read, model)
    if value.shape != model.shape:
        return f"is {list(value.shape)}, not {list(model.shape)}"
    worst = float((np.abs(value - model) / np.abs(steps)).max(initial=0))
    if not worst <= 0.5 + ROUNDING:  # nor is it if it is no number
        return f"is {worst:.3g} steps from the model's, where half a step is rounding"
    longest = float((np.abs(steps) / asked).max(initial=0))
    return "" if longest <= 1 + ROUNDING else f"has steps {longest:.3g} times as long as what they span asks for"


Steps = tuple[np.ndarray, np.ndarray, np.ndarray]  # a weight, its steps, and how long they may be


def _integers_back(name: str, read: Read, model: np.ndarray) -> Steps:
    """By rows.   -> f64[width, D], f64[width, 1] x 2"""
    steps = read(f"{name}{SCALE}").astype(np.float64)[:, None]
    largest = np.abs(model).max(axis=1, initial=0, keepdims=True) / 127
    return read(f"{name}{QUANTIZED}").T * steps, steps, np.where(largest > 0, largest, np.inf)


def _blocks_back(name: str, read: Read, model: np.ndarray) -> Steps:
    """By blocks, along each row.   -> f64[width, D] x 3"""
    integers = _unpacked(read(f"{name}{BITS}"))  # [width, blocks, block]
    width, blocks, block = integers.shape
    steps = read(f"{name}{SCALE}").astype(np.float64).reshape(width, blocks, 1)
    zeros = _unpacked(read(f"{name}{ZERO}").reshape(width, -1))[:, :blocks, None]
    values = ((integers.astype(np.float64) - zeros) * steps).reshape(width, blocks * block)[:, : model.shape[1]]
    padded = np.zeros((width, blocks * block))
    padded[:, : model.shape[1]] = model
    padded = padded.reshape(integers.shape)
    spans = (padded.max(axis=2, initial=0, keepdims=True) - padded.min(axis=2, initial=0, keepdims=True)) / 15
    asked = np.where(spans > 0, spans, np.inf)
    wide = [np.repeat(each[..., 0], block, axis=1)[:, : model.shape[1]] for each in (steps, asked)]
    return values, wide[0], wide[1]


STEPS = {"int8": _integers_back, "int4": _blocks_back}


def _unpacked(pairs: np.ndarray) -> np.ndarray:
    """Two to a byte, the first in the lower half.   u8[..., n] -> u8[..., 2 n]"""
    return np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(*pairs.shape[:-1], -1)
