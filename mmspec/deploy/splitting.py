"""A frame in two: what a file computes before it needs what the stack gives, and what it computes from that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmspec.deploy.contract import Contract, Port
from mmspec.deploy.file import initializers
from mmspec.deploy.structure import DTYPES
from mmspec.host import AFTER

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Halves:
    """Both files with their contracts, and which value each output of the model is. No end: there is nothing to compute."""

    beginning: tuple[onnx.ModelProto, Contract]
    end: tuple[onnx.ModelProto, Contract] | None
    outputs: Mapping[str, str]


def halves(frame: onnx.ModelProto, contract: Contract, given: Collection[str], outputs: Collection[str]) -> Halves:
    """Cut a frame, a file without control flow, at what depends on the inputs in `given`.

    What the later half reads of the earlier one becomes an output of that; constants and turned weights are in both.
    """
    import onnx

    frame = _sized_by_inputs(frame, contract, given)
    nodes = list(frame.graph.node)
    source = {name: node for node in nodes for name in node.output}
    later = _depending(nodes, given)
    moving = _depending(nodes, {port.name for port in contract.inputs})
    direct = {name: _alias(name, source, given) for name in outputs}
    last = [name for name in outputs if name in later and direct[name] == name]
    tail, crossing = _needed(nodes, last, lambda name: name in later or name not in moving)
    crossing = [name for name in crossing if name in source]
    early = [port.name for port in contract.outputs if port.name not in outputs]
    early += [name for name in outputs if name not in later] + crossing
    head, _ = _needed(nodes, early, lambda name: True)
    known = {port.name: port for port in (*contract.inputs, *contract.outputs)}
    inferred = onnx.shape_inference.infer_shapes(frame, data_prop=True).graph.value_info
    known |= {value.name: _port(value) for value in inferred if value.name in crossing}
    beginning = _entering(*_file(frame, head, early, known, contract))
    return Halves(beginning, _file(frame, tail, last, known, contract) if last else None, direct)


def _sized_by_inputs(frame: onnx.ModelProto, contract: Contract, given: Collection[str]) -> onnx.ModelProto:
    """A copy in which sizes that are the inputs' are read there, and not of what the stack gives."""
    import onnx
    from onnx import helper

    copy = onnx.ModelProto()
    copy.CopyFrom(frame)
    ports = {port.name: port for port in contract.inputs}
    places = {
        dim: (port.name, i)
        for name, port in reversed(ports.items())
        if name not in given
        for i, dim in enumerate(port.dims)
    }
    for node in copy.graph.node:
        if node.op_type == "Shape" and node.input[0] in given:
            span = {attribute.name: attribute.i for attribute in node.attribute}
            start, dims = span.get("start", 0), ports[node.input[0]].dims
            place = places.get(dims[start]) if span.get("end", len(dims)) == start + 1 else None
            if place is not None:
                node.input[0] = place[0]
                del node.attribute[:]
                node.attribute.extend(
                    helper.make_attribute(key, place[1] + i) for i, key in enumerate(("start", "end"))
                )
    return copy


def _entering(file: onnx.ModelProto, contract: Contract) -> tuple[onnx.ModelProto, Contract]:
    """What leaves the beginning enters the stack, and bears the name that it has there."""
    names = {port.name: port.name.removesuffix(AFTER) for port in contract.outputs if port.name.endswith(AFTER)}
    for node in file.graph.node:
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
    for value in file.graph.output:
        value.name = names.get(value.name, value.name)
    outputs = tuple(replace(port, name=names.get(port.name, port.name)) for port in contract.outputs)
    return file, replace(contract, outputs=outputs)


def _depending(nodes: Iterable[onnx.NodeProto], names: Iterable[str]) -> set[str]:
    found = set(names)
    for node in nodes:
        if found.intersection(node.input):
            found.update(node.output)
    return found


def _needed(
    nodes: list[onnx.NodeProto], wanted: Iterable[str], ours: Callable[[str], bool]
) -> tuple[list[onnx.NodeProto], list[str]]:
    """The nodes that lead to what is wanted as far as its values are ours, and the other values that these read."""
    alive = set(wanted)
    kept: list[onnx.NodeProto] = []
    outer: list[str] = []
    for node in reversed(nodes):
        if alive.intersection(node.output):
            kept.append(node)
            for name in filter(None, node.input):
                if ours(name):
                    alive.add(name)
                elif name not in outer:
                    outer.append(name)
    return kept[::-1], outer


def _alias(name: str, source: Mapping[str, onnx.NodeProto], given: Collection[str]) -> str:
    """What an output is, where it is just one of the given values."""
    node = source[name]
    return node.input[0] if node.op_type == "Identity" and node.input[0] in given else name


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    dims = tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim)
    return Port(value.name, DTYPES[tensor.elem_type], dims, "what the end needs of the beginning")


def _file(
    frame: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    outputs: list[str],
    known: Mapping[str, Port],
    contract: Contract,
) -> tuple[onnx.ModelProto, Contract]:
    import onnx
    from onnx import helper

    made = {name for node in nodes for name in node.output}
    read = {name for node in nodes for name in node.input} - made
    weights = initializers(frame)
    inputs = [name for name in known if name in read and name not in weights]
    types = {"float32": 1, "int64": 7, "bool": 9}
    given, results = (
        [helper.make_tensor_value_info(n, types[known[n].dtype], known[n].dims) for n in names]
        for names in (inputs, outputs)
    )
    graph = helper.make_graph(
        nodes, frame.graph.name, given, results, [t for name, t in weights.items() if name in read]
    )
    file = onnx.ModelProto()
    file.CopyFrom(frame)
    file.graph.CopyFrom(graph)
    used = {dim for name in inputs for dim in known[name].dims}
    dims = {name: size for name, size in contract.dims.items() if name in used}
    return file, Contract(tuple(known[name] for name in inputs), tuple(known[name] for name in outputs), dims)
