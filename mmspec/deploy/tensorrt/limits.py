"""What TensorRT's parser asks of the nodes that it takes: each line of its documents as a rule that a node keeps, breaks, or does
not let be seen (its operand is computed when the file runs)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmspec.deploy.tensorrt.operators import CHANGELOG, FIRST, OPERATORS_MD, Version
from mmspec.deploy.tensorrt.site import Site

NEVER: Version = (99, 0)
MOST = 3840  # TopK's k stays below
NV_INFER = "NvInfer.h (release/11.1)"

Kept = Callable[[Site], bool | None]


@dataclass(frozen=True)
class Limit:
    """`says` what holds of the operators' nodes in words, from the version `since` on and before `until`."""

    operators: str
    says: str
    kept: Kept
    source: str = OPERATORS_MD
    since: Version = FIRST
    until: Version = NEVER

    def of(self, operator: str, version: Version) -> bool:
        return operator in self.operators.split() and self.since <= version < self.until


def limits(operator: str, version: Version) -> Sequence[Limit]:
    """Those that a version has for an operator."""
    return [limit for limit in LIMITS if limit.of(operator, version)]


def constant(*inputs: int) -> Kept:
    """These inputs, where they are given, are known when the engine is built."""
    return lambda site: all(site.is_constant(i) for i in inputs)


def plain(name: str, *values: Any) -> Kept:
    """The attribute is absent or one of the values."""
    return lambda site: site.attribute(name) in (None, *values)


def ranks(*wanted: int, inputs: tuple[int, ...] = (0,)) -> Kept:
    """The inputs that are given have one of these ranks."""

    def kept(site: Site) -> bool | None:
        shapes = [site.shape(site.node.input[i]) for i in inputs if site.given(i)]
        return None if None in shapes else all(len(shape or ()) in wanted for shape in shapes)

    return kept


def only_outputs(count: int) -> Kept:
    return lambda site: not any(site.node.output[count:])


def without_inputs(*inputs: int) -> Kept:
    return lambda site: not any(site.given(i) for i in inputs)


def undilated(site: Site) -> bool:
    return all(each == 1 for each in site.attribute("dilations") or ())


def few(site: Site) -> bool | None:
    k = site.constant(1)
    return None if k is None else bool(np.all(k < MOST))


def symmetric(site: Site) -> bool | None:
    """The zero point is zero, or there is none."""
    if not site.given(2):
        return True
    zero = site.constant(2)
    return None if zero is None else not np.any(zero)


def equal_ranks(site: Site) -> bool | None:
    """What either branch gives has as many dimensions."""
    then, other = site.subgraph("then_branch"), site.subgraph("else_branch")
    seen = True
    for one, two in zip(then.output, other.output, strict=False):
        shapes = site.shape(one.name), site.shape(two.name)
        if None in shapes:
            seen = False
        elif len(shapes[0] or ()) != len(shapes[1] or ()):
            return False
    return True if seen else None


def other_names(site: Site) -> bool:
    then, other = site.subgraph("then_branch"), site.subgraph("else_branch")
    return not {value.name for value in then.output} & {value.name for value in other.output}


def steady(site: Site) -> bool | None:
    """What one step hands to the next has the shape that it had before."""
    body, carried = site.subgraph("body"), len(site.node.input) - 2
    seen = True
    for i in range(carried):
        shapes = site.shape(site.node.input[2 + i]), site.shape(body.output[1 + i].name)
        if None in shapes or any(dim is None for shape in shapes for dim in shape or ()):
            seen = False
        elif shapes[0] != shapes[1]:
            return False
    return True if seen else None


def scans_as_long(site: Site) -> bool | None:
    """A loop that collects something of each step says beforehand how many there are."""
    collected = len(site.subgraph("body").output) - 1 - (len(site.node.input) - 2)
    return collected == 0 or (site.given(0) and site.is_constant(0))


def untrained(site: Site) -> bool | None:
    if not site.given(2):
        return True
    training = site.constant(2)
    return None if training is None else not np.any(training)


def static(site: Site) -> bool | None:
    shape = site.shape(site.node.input[0])
    return None if shape is None else all(isinstance(dim, int) for dim in shape)


def resized_plainly(site: Site) -> bool:
    ways = {
        "coordinate_transformation_mode": "half_pixel pytorch_half_pixel tf_half_pixel_for_nn asymmetric align_corners",
        "mode": "nearest linear",
        "nearest_mode": "floor ceil round_prefer_floor round_prefer_ceil",
        "keep_aspect_ratio_policy": "stretch",
    }
    return not site.attribute("antialias") and all(plain(name, *known.split())(site) for name, known in ways.items())


REDUCTIONS = (
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare"
)

LIMITS = (
    Limit("TopK", f"K is less than {MOST}", few),
    Limit("TopK", "sorted is 1", plain("sorted", 1)),
    Limit(
        "ScatterND",
        "there is no attribute reduction",
        lambda site: site.attribute("reduction") is None,
        until=(10, 9),
    ),
    Limit("ScatterND", "reduction is none", plain("reduction", "none"), since=(10, 9)),
    Limit("CumSum", "axis is known when the engine is built", constant(1)),
    Limit(REDUCTIONS, "axes is an initializer", constant(1)),
    Limit("Squeeze Unsqueeze", "axes is known when the engine is built", constant(1)),
    Limit("Slice", "axes is an initializer", constant(3), CHANGELOG, until=(10, 3)),
    Limit("Pad", "axes is an initializer", constant(3), CHANGELOG, until=(10, 4)),
    Limit("OneHot", "depth is known when the engine is built", constant(1)),
    Limit("STFT", "frame_step and window are initializers", constant(1, 2)),
    Limit("EyeLike", "its input has fixed dimensions", static),
    Limit("If", "what its branches give has the same rank", equal_ranks),
    Limit("If", "what its branches give has different names", other_names),
    Limit("Loop", "what it carries has the same shape in every step", steady),
    Limit("Loop", "what it collects has a length that is known when the engine is built", scans_as_long),
    Limit("QuantizeLinear DequantizeLinear", "the zero point is 0: quantisation is symmetric", symmetric),
    Limit("Dropout", "it is not training", untrained),
    Limit("LayerNormalization", "only its first output is read", only_outputs(1)),
    Limit("MaxPool", "its indices are not read", only_outputs(1)),
    Limit("MaxPool AveragePool", "it is over two or three dimensions", ranks(4, 5)),
    Limit("MaxPool AveragePool LpPool", "there are no dilations", undilated),
    Limit("GridSample", "its input has four dimensions", ranks(4)),
    Limit(
        "LSTM",
        "input_forget and layout are 0",
        lambda site: plain("input_forget", 0)(site) and plain("layout", 0)(site),
    ),
    Limit("Resize", "ways of resizing are those that are listed, without antialiasing", resized_plainly),
    Limit("Attention", "Q, K, V and the mask have four dimensions", ranks(4, inputs=(0, 1, 2, 3))),
    Limit("Attention", "it has no past, and no lengths of keys", without_inputs(4, 5, 6)),
    Limit("Attention", "only its first output is read", only_outputs(1)),
    Limit("Attention", "there is no softcap", plain("softcap", 0.0)),
    Limit("TensorScatter", "its tensors have four dimensions", ranks(4, inputs=(0, 1))),
    Limit("TensorScatter", "axis is -2", lambda site: site.attribute("axis") in (None, -2)),
)
