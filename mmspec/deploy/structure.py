"""The structural gate: the file is valid ONNX, is what the contract says, and holds every weight that matters, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmspec.deploy.contract import Contract, Port
from mmspec.deploy.external import laid_down, too_large
from mmspec.deploy.file import array, graphs, initializers, operators
from mmspec.errors import Failure

if TYPE_CHECKING:
    import onnx

DTYPES = {1: "float32", 7: "int64", 9: "bool"}  # of onnx.TensorProto
Problems = Callable[["onnx.ModelProto", Mapping[str, np.ndarray], set[str]], Iterator[str]]


@dataclass(frozen=True)
class Held:
    """Weights that a file does not hold as the model has them: what may be wrong with them, and operator sets beside ONNX's."""

    problems: Problems
    domains: Sequence[str] = ()


FOREIGN = 4096  # elements; a constant that is no parameter of ours and larger than this is a weight in disguise


def refuse(problems: Iterable[str]) -> None:
    """Raise Failure if there are any."""
    found = [f"  {problem}" for problem in problems]
    if found:
        raise Failure("the exported file is not the model; nothing was written:\n" + "\n".join(found[:20]))


def problems_of(
    proto: onnx.ModelProto,
    contract: Contract,
    opset: int,
    weights: Mapping[str, np.ndarray],
    live: set[str],
    conditions: int,
    loops: int = 0,
    held: Held | None = None,
) -> Iterator[str]:
    """Everything that is wrong with a file.

    weights     parameters and thresholds by name; those in `live` must be in the file, any that are must be equal
    conditions  how many `If` nodes the exits need; loops: how many `Loop` nodes
    held        how it holds its weights, where not as they are
    """
    outside = [tensor.name for graph in graphs(proto.graph) for tensor in graph.initializer if tensor.external_data]
    if outside:
        yield f"the weight {outside[0]} lies outside of the file"
        return  # whose values nobody can look at
    yield from _valid(proto)
    yield from _opset(proto, opset, held.domains if held else ())
    yield from _ports("input", proto.graph.input, contract.inputs)
    yield from _ports("output", proto.graph.output, contract.outputs)
    yield from (held.problems if held else _weights)(proto, weights, live)
    yield from _control(proto, conditions, loops)
    yield from _clean(proto)


def _valid(proto: onnx.ModelProto) -> Iterator[str]:
    import onnx

    try:
        with laid_down(proto) if too_large(proto) else nullcontext(proto) as file:
            onnx.checker.check_model(file, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        yield f"it is not valid ONNX: {' '.join(str(error).split())[:400]}"


def _opset(proto: onnx.ModelProto, opset: int, further: Sequence[str]) -> Iterator[str]:
    found = {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import if entry.domain not in further}
    if found != {"ai.onnx": opset}:
        yield f"it uses the operator sets {found}, where only ai.onnx {opset} was asked for"


def _ports(kind: str, values: Sequence[Any], ports: Sequence[Port]) -> Iterator[str]:
    names = [value.name for value in values]
    if names != [port.name for port in ports]:
        yield f"its {kind}s are {names}, where {[port.name for port in ports]} was asked for"
        return
    for value, port in zip(values, ports, strict=True):
        tensor = value.type.tensor_type
        dims = tuple(dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else "?") for dim in tensor.shape.dim)
        if dims != port.dims:
            yield f"the {kind} {port.name} is {list(dims)}, where {list(port.dims)} was asked for"
        if DTYPES.get(tensor.elem_type) != port.dtype:
            yield f"the {kind} {port.name} is of type {DTYPES.get(tensor.elem_type, tensor.elem_type)}, not {port.dtype}"


def _weights(proto: onnx.ModelProto, weights: Mapping[str, np.ndarray], live: set[str]) -> Iterator[str]:
    held, used = initializers(proto), reachable(proto.graph)
    for name in sorted(live):
        if name not in held:
            yield f"the weight {name} is missing"
        elif name not in used:
            yield f"the weight {name} is there, but no output depends on it"
    for name in sorted(held.keys() & weights.keys()):
        try:
            value = array(held[name])
        except ValueError as error:
            yield f"the weight {name} cannot be read: {error}"
            continue
        if value.dtype != weights[name].dtype or value.shape != weights[name].shape:
            yield f"the weight {name} is {value.dtype}{list(value.shape)}, not {weights[name].dtype}{list(weights[name].shape)}"
        elif value.tobytes() != weights[name].tobytes():
            yield f"the weight {name} differs from the model's, by up to {np.abs(value - weights[name]).max():.3g}"
    for graph in graphs(proto.graph):
        for tensor in graph.initializer:
            if tensor.name not in weights and np.prod(tensor.dims) > FOREIGN:
                yield f"the constant {tensor.name} of {list(tensor.dims)} is no parameter of the model"


def _control(proto: onnx.ModelProto, conditions: int, loops: int) -> Iterator[str]:
    counts = operators(proto)
    if counts["If"] != conditions:
        yield f"it has {counts['If']} If nodes, where the exits need {conditions}"
    if counts["Loop"] != loops:
        yield f"it has {counts['Loop']} Loop nodes, where the spec has {loops} loops"


def _clean(proto: onnx.ModelProto) -> Iterator[str]:
    for graph in graphs(proto.graph):
        for node in graph.node:
            if node.doc_string or len(node.metadata_props):
                yield f"the node {node.name} carries the exporter's notes"
                return


def reachable(graph: onnx.GraphProto) -> set[str]:
    """Names of the values that the graph's outputs depend on, those that branches read included."""
    return _reach(graph, {value.name for value in graph.output})


def _reach(graph: onnx.GraphProto, wanted: set[str]) -> set[str]:
    alive = set(wanted)
    for node in reversed(graph.node):
        positions = [i for i, name in enumerate(node.output) if name in alive]
        if not positions:
            continue
        alive |= {name for name in node.input if name}
        if node.op_type == "Loop":  # what one step hands on, another may give out: all of it counts
            body = next(attribute.g for attribute in node.attribute if attribute.name == "body")
            alive |= _reach(body, {value.name for value in body.output})
            continue
        for attribute in node.attribute:
            if attribute.HasField("g"):  # branches read outer values by name; their outputs stand in the node's order
                alive |= _reach(attribute.g, {attribute.g.output[i].name for i in positions})
    return alive
