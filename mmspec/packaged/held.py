"""A model's weights as a file holds them, read back, and how far each may be from the model's.

w                         float32, the model's bit for bit; float16, the model's rounded
w_quantized, w_scale      int8 [D, width] and the step of each row: within half a step
w_blocks, w_scale, w_zero_point   two int4 to a byte, a step and a zero for each block: within half a step

A step is no longer than what its row or block spans asks for: with one that is long enough, zero would be within half of it.

layer.input_scale, layer.input_zero_point   static int8: how what a layer reads becomes integers, by the range that was calibrated
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

QUANTIZED, BITS, SCALE, ZERO = "_quantized", "_blocks", "_scale", "_zero_point"
INPUT = ".input"  # of a layer, before SCALE and ZERO
ROUNDING = 1e-4  # of a step: that of dividing by it in float32
HALF_MAX = float(np.finfo(np.float16).max)

Read = Callable[[str], np.ndarray]  # what a file holds under a name; KeyError where it holds nothing


def stored(proto: onnx.ModelProto) -> dict[str, str]:
    """How each weight of the file is held, by the model's name: "float32", "float16", "int8", "int4" or "as it is".

    Of one that is held twice, how it is multiplied.
    """
    return dict(sorted(ways(proto), key=lambda way: way[1] in STEPS))


def ways(proto: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """The model's name of each weight, and how it is held: twice where it is both multiplied in integers and looked up as it is."""
    for tensor in proto.graph.initializer:
        name = tensor.name
        if name.endswith(QUANTIZED):
            yield name.removesuffix(QUANTIZED), "int8"
        elif name.endswith(BITS):
            yield name.removesuffix(BITS), "int4"
        elif not name.endswith((SCALE, ZERO)):
            yield name, {1: "float32", 10: "float16"}.get(tensor.data_type, "as it is")


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


def step_of(low: float, high: float, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """The step and the integer of zero with which numbers from low to high become u8, or s8 if signed.   -> f32[], u8[] or s8[]"""
    low, high = min(low, 0.0), max(high, 0.0)
    if signed:
        return np.array(max(-low, high) / 127 or 1.0, np.float32), np.array(0, np.int8)
    step = np.float32((high - low) / 255 or 1.0)
    return np.array(step), np.array(np.clip(np.rint(-low / step), 0, 255), np.uint8)


def other_steps(proto: onnx.ModelProto, read: Read, ranges: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Layers of a file that make integers of what they read by another range than theirs.   ranges: low and high, by layer"""
    end = f"{INPUT}{SCALE}"
    names = (tensor.name for tensor in proto.graph.initializer)
    for layer in sorted(name.removesuffix(end) for name in names if name.endswith(end)):
        if layer not in ranges:
            yield f"what {layer} reads becomes integers by a range that nobody found"
            continue
        try:
            step, zero = read(f"{layer}{INPUT}{SCALE}"), read(f"{layer}{INPUT}{ZERO}")
        except KeyError as error:
            yield f"what {layer} reads becomes integers without {error.args[0]}"
            continue
        low, high = ranges[layer]
        wanted = step_of(low, high, zero.dtype == np.int8)
        if ([*step.flat], [*zero.flat]) != ([wanted[0]], [wanted[1]]):
            yield (
                f"what {layer} reads becomes integers in steps of {step.tolist()} from {zero.tolist()}, where its range, "
                f"{low:.6g} to {high:.6g}, asks for {wanted[0]} from {wanted[1]}"
            )


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
