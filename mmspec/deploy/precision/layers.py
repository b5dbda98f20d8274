"""The linear layers of a file, found by their weights' names, and other nodes put in their place.

A layer is a Gemm, or a MatMul with a turned weight; in a branch or a loop as well as outside. The weight is an initialiser of the
main graph, [width, D] as the model has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mmspec.deploy.file import array, graphs, initializers

if TYPE_CHECKING:
    import onnx

WEIGHT = ".weight"


@dataclass(frozen=True)
class Layer:
    """y = x W^T (+ b): names of the module, of x, W, b ("" where it is added elsewhere) and y."""

    name: str
    x: str
    weight: str
    bias: str
    y: str


@dataclass
class Site:
    """Where a layer's place is taken: the nodes that come instead, and what all layers of the file share.

    shared   of this graph: names of values that were made once, by what they were made of
    held     initialisers of the main graph to be, by name
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    shared: dict[str, tuple[str, ...]] = field(default_factory=dict)
    held: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, kind: str, inputs: Iterable[str], outputs: Iterable[str], **attributes: object) -> None:
        from onnx import helper

        outputs = list(outputs)
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=f"node_{outputs[0]}", **attributes))  # type: ignore[arg-type]


Write = Callable[[Layer, np.ndarray, Site], None]  # a layer, its weight f32[width, D], and where its nodes go


def layers(proto: onnx.ModelProto, weights: Collection[str]) -> list[Layer]:
    """The layers whose weights are among these, in order; one that stands in several places is there several times."""
    return [layer for graph in graphs(proto.graph) for _, layer in _found(graph, set(weights))]


def rewritten(proto: onnx.ModelProto, weights: Collection[str], write: Write) -> onnx.ModelProto:
    """A copy in which `write` has taken the place of each layer whose weight is among these. What nobody reads any more is gone."""
    import onnx
    from onnx import helper, numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    arrays = {name: array(tensor) for name, tensor in initializers(copy).items() if name in weights}
    held: dict[str, np.ndarray] = {}
    for graph in graphs(copy.graph):
        found = {node.name: layer for node, layer in _found(graph, arrays.keys())}
        site = Site(held=held)
        for node in graph.node:
            if node.name in found:
                layer = found[node.name]
                write(layer, arrays[layer.weight], site)
            else:
                site.nodes.append(node)
        _replace(graph.node, site.nodes)
    foreign = {node.domain for graph in graphs(copy.graph) for node in graph.node if node.domain}
    copy.opset_import.extend(helper.make_opsetid(domain, 1) for domain in sorted(foreign))
    copy.graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in held.items())
    drop_unread(copy)
    return copy


def _found(graph: onnx.GraphProto, weights: Collection[str]) -> Iterator[tuple[onnx.NodeProto, Layer]]:
    turned = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Transpose"}
    for node in graph.node:
        if node.op_type == "Gemm" and node.input[1] in weights:
            settings = {attribute.name: attribute for attribute in node.attribute}
            assert settings["transB"].i == 1, f"{node.name} is no linear layer"
            assert all(settings[key].f == 1 for key in ("alpha", "beta") if key in settings), node.name
            weight, bias = node.input[1], node.input[2] if len(node.input) > 2 else ""
        elif node.op_type == "MatMul" and turned.get(node.input[1]) in weights:
            weight, bias = turned[node.input[1]], ""
        else:
            continue
        yield node, Layer(weight.removesuffix(WEIGHT), node.input[0], weight, bias, node.output[0])


def drop_unread(proto: onnx.ModelProto) -> None:
    """Without turned weights and initialisers that nothing reads any more."""
    gone = True
    while gone:
        every = list(graphs(proto.graph))
        read = {name for graph in every for node in graph.node for name in node.input}
        read |= {value.name for graph in every for value in graph.output}
        gone = False
        for graph in reversed(every):  # branches before the graph around them, which is replaced with them inside
            nodes = [node for node in graph.node if not read.isdisjoint(node.output)]
            tensors = [tensor for tensor in graph.initializer if tensor.name in read]
            for repeated, kept in ((graph.node, nodes), (graph.initializer, tensors)):
                if len(kept) < len(repeated):
                    _replace(repeated, kept)
                    gone = True


def _replace(repeated: Any, items: list[Any]) -> None:
    copies = [type(item)() for item in items]
    for copy, item in zip(copies, items, strict=True):
        copy.CopyFrom(item)
    del repeated[:]
    repeated.extend(copies)
