"""The shapes that an engine is built for: of each input the least, the one it is tuned for, and the greatest.

Source   TensorRT developer guide, Working with Dynamic Shapes: every input with a dynamic dimension needs them
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mmspec.deploy.contract import Range, terms
from mmspec.deploy.tensorrt.options import Optimum

if TYPE_CHECKING:
    import onnx

Profile = dict[str, dict[str, list[int]]]  # by input, "min", "opt" and "max"


def profile(proto: onnx.ModelProto, dims: Mapping[str, Range], optimum: Optimum) -> Profile:
    """Of a file's inputs, whose dynamic dimensions are named after the contract's `dims`, or are sums of them. What is fixed is the
    same in all three."""
    ends = {
        "min": {name: size.low for name, size in dims.items()},
        "opt": {name: _likely(name, size, optimum) for name, size in dims.items()},
        "max": {name: size.high for name, size in dims.items()},
    }
    return {value.name: {end: _shape(value, sizes) for end, sizes in ends.items()} for value in proto.graph.input}


def _likely(name: str, size: Range, optimum: Optimum) -> int:
    wanted = optimum.batch if name == "batch" else optimum.length or size.high
    return min(max(wanted, size.low), size.high)


def _shape(value: onnx.ValueInfoProto, sizes: Mapping[str, int]) -> list[int]:
    dims = [terms(dim.dim_param) if dim.dim_param else (dim.dim_value,) for dim in value.type.tensor_type.shape.dim]
    return [sum(sizes[term] if isinstance(term, str) else term for term in dim) for dim in dims]
