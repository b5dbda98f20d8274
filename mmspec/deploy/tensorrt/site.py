"""A node where it stands: what is known of its operands before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mmspec.deploy.external import without_weights
from mmspec.deploy.file import array, graphs

if TYPE_CHECKING:
    import onnx

Shape = tuple[int | str | None, ...]

LARGE = 1 << 16  # elements

TYPES = {  # of onnx.TensorProto, as TensorRT's documents call them
    1: "FP32", 2: "UINT8", 3: "INT8", 4: "UINT16", 5: "INT16", 6: "INT32", 7: "INT64", 8: "STRING", 9: "BOOL", 10: "FP16",
    11: "DOUBLE", 12: "UINT32", 13: "UINT64", 16: "BF16", 17: "FP8", 21: "UINT4", 22: "INT4", 23: "FP4",
}  # fmt: skip


@dataclass
class Known:
    """Types, shapes and constants of all values of a file, by name, sub-graphs included, and which node gives each."""

    types: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, np.ndarray | None] = field(default_factory=dict)  # None: written in the file, and large
    producers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    handed: dict[str, str] = field(default_factory=dict)  # what enters a loop's body, and what it is outside


@dataclass(frozen=True)
class Site:
    """A node of a file; `inside` are the control flows around it, outermost first."""

    node: onnx.NodeProto
    known: Known
    inside: tuple[str, ...] = ()

    @property
    def operator(self) -> str:
        return str(self.node.op_type)

    def given(self, position: int) -> bool:
        return position < len(self.node.input) and bool(self.node.input[position])

    def constant(self, position: int) -> np.ndarray | None:
        """An input's value, where it is written in the file and small."""
        return self.known.constants.get(self.node.input[position]) if self.given(position) else None

    def is_constant(self, position: int) -> bool:
        """Whether an input is written in the file, or not given at all."""
        return not self.given(position) or self.node.input[position] in self.known.constants

    def shape(self, name: str) -> Shape | None:
        return self.known.shapes.get(name)

    def attribute(self, name: str) -> Any:
        """Its value; None where it is left to its default."""
        from onnx import helper

        for attribute in self.node.attribute:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return None

    def subgraph(self, name: str) -> onnx.GraphProto:
        graph: onnx.GraphProto = next(attribute.g for attribute in self.node.attribute if attribute.name == name)
        return graph


def sites(proto: onnx.ModelProto) -> Iterator[Site]:
    """Every node of a file, those of branches and loops included, with what shape inference knows of their operands."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(_light(proto), data_prop=True)
    known = _known(inferred)
    yield from _walk(inferred.graph, known, ())


def _light(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without the numbers of large weights, which no rule asks for."""
    import onnx

    light = without_weights(proto)
    for tensor in proto.graph.initializer:
        large = np.prod(tensor.dims) > LARGE
        light.graph.initializer.append(
            onnx.TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type) if large else tensor
        )
    return light


def _walk(graph: onnx.GraphProto, known: Known, inside: tuple[str, ...]) -> Iterator[Site]:
    for node in graph.node:
        yield Site(node, known, inside)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _walk(attribute.g, known, (*inside, node.op_type))


def _known(proto: onnx.ModelProto) -> Known:
    known = Known()
    for graph in graphs(proto.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            tensor = value.type.tensor_type
            if tensor.elem_type:
                known.types[value.name] = TYPES.get(tensor.elem_type, str(tensor.elem_type))
            if tensor.HasField("shape"):
                known.shapes[value.name] = tuple(_dim(dim) for dim in tensor.shape.dim)
        for tensor in graph.initializer:
            _keep(known, tensor.name, tensor)
        for node in graph.node:
            known.producers |= dict.fromkeys(node.output, node)
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    _keep_attribute(known, node.output[0], attribute)
            if node.op_type == "Loop":
                body = next(attribute.g for attribute in node.attribute if attribute.name == "body")
                known.handed |= dict(zip([value.name for value in body.input], node.input, strict=False))
    return known


def _keep(known: Known, name: str, tensor: onnx.TensorProto) -> None:
    known.types[name] = TYPES.get(tensor.data_type, str(tensor.data_type))
    known.shapes[name] = tuple(tensor.dims)
    known.constants[name] = None if np.prod(tensor.dims) > LARGE else array(tensor)


def _keep_attribute(known: Known, name: str, attribute: onnx.AttributeProto) -> None:
    from onnx import helper

    if attribute.name == "value":
        _keep(known, name, attribute.t)
    elif attribute.name in ("value_int", "value_ints", "value_float", "value_floats"):
        value = np.array(helper.get_attribute_value(attribute))
        floating = value.dtype.kind == "f"
        known.types[name], known.shapes[name] = "FP32" if floating else "INT64", value.shape
        known.constants[name] = value


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.dim_param:
        return str(dim.dim_param)
    return int(dim.dim_value) if dim.HasField("dim_value") else None


def _itself(known: Known, name: str) -> str:
    """The weight behind a transposed, cast or dequantised one; any other value is itself."""
    node = known.producers.get(name)
    while (
        node is not None
        and node.op_type in ("Transpose", "Cast", "DequantizeLinear")
        and node.input[0] in known.constants
    ):
        name, node = node.input[0], known.producers.get(node.input[0])
    return name


def _read(node: onnx.NodeProto) -> list[str]:
    """What a node is computed from; of a control flow, what is computed inside as well."""
    inside = [value.name for attribute in node.attribute if attribute.HasField("g") for value in attribute.g.output]
    return [*node.input, *inside]


def origin(known: Known, names: tuple[str, ...], wanted: Mapping[str, object]) -> str | None:
    """The nearest of the values `wanted`, counted in nodes, that one of these values is computed from; of whom only the size is
    asked, only where there is no other."""
    return _nearest(known, names, wanted, ("Shape", "Size")) or _nearest(known, names, wanted, ())


def _nearest(known: Known, names: tuple[str, ...], wanted: Mapping[str, object], ends: tuple[str, ...]) -> str | None:
    seen: set[str] = set()
    front = [name for name in names if name]
    while front:
        for name in front:
            if (found := _itself(known, name)) in wanted:
                return found
        seen.update(front)
        behind: list[str] = []
        for name in front:
            node = known.producers.get(name)
            behind += [known.handed[name]] if name in known.handed else []
            behind += _read(node) if node is not None and node.op_type not in ends else []
        front = [name for name in dict.fromkeys(behind) if name and name not in seen]
    return None
