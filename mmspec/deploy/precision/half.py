"""fp16: weights and arithmetic in float16, but for what decides and for what is easily lost in eleven bits.

Operators in WIDE, those that read a weight which is kept (of routers, of heads that are asked at exits, thresholds), what
becomes an integer or a truth (`deciding`), and integers that become real numbers compute in float32: their inputs are cast up, and
what they give is cast down where something else reads it. So does the sum of what one of WIDE gives and a number: an epsilon that
float16 hardly knows, which ONNX Runtime, where it finds none in float32, takes for 1e-5. LAYOUT follows what it is handed.
Constants are in the type that is asked for; what float16 cannot hold, such as the number that fills masks, is the largest that it
can. What crosses the border of a branch or a loop is float16 unless it decides; inputs and outputs of the file stay float32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmspec.deploy.file import array, graphs
from mmspec.deploy.precision.deciding import GIVEN, PRODUCTS, bodies, deciding
from mmspec.deploy.precision.layers import drop_unread
from mmspec.packaged.held import HALF_MAX

if TYPE_CHECKING:
    import onnx

FLOAT, INT32, INT64, HALF = 1, 6, 7, 10  # of onnx.TensorProto
WIDE = frozenset({
    "LayerNormalization", "GroupNormalization", "InstanceNormalization", "BatchNormalization", "RMSNormalization",
    "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2", "ReduceProd", "CumSum", "Pow", "Sqrt", "Reciprocal",  # sums
    "Softmax", "LogSoftmax", "Exp", "Log", "Softplus",  # exponentials
    "Div", "Clip", "Max", "Min",  # by a norm that is no smaller than 1e-12, which float16 does not know
    "Range", "Resize", "Einsum", "STFT", "DFT", "Sin", "Cos", "Mod",
})  # fmt: skip
LAYOUT = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Gather", "Identity", "Expand", "Flatten"})


def lowered(proto: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """A copy in float16.   kept: initialisers that stay, and are computed with, in float32"""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    types = _types(copy)
    floats = {name for name, kind in types.items() if kind == FLOAT}
    nodes = [node for graph in graphs(copy.graph) for node in graph.node]
    whole = _Conversion(types, deciding(copy, floats) | _with_epsilons(copy))
    read = {wide: {n for node in nodes if whole.is_wide(node) == wide for n in node.input} for wide in (True, False)}
    whole.kept = set(kept) | (read[True] - read[False])
    whole.convert(copy.graph, {}, {})
    drop_unread(copy)
    return copy


def _with_epsilons(proto: onnx.ModelProto) -> set[str]:
    """Sums of what one of WIDE gives and a number."""
    every = list(graphs(proto.graph))
    numbers = {tensor.name for graph in every for tensor in graph.initializer if not tensor.dims}
    numbers |= {node.output[0] for graph in every for node in graph.node if node.op_type == "Constant"}
    wide = {name for graph in every for node in graph.node if node.op_type in WIDE for name in node.output}
    return {
        node.output[0] for graph in every for node in graph.node
        if node.op_type == "Add" and not wide.isdisjoint(node.input) and not numbers.isdisjoint(node.input)
    }  # fmt: skip


def _types(proto: onnx.ModelProto) -> dict[str, int]:
    """The types of the values of every scope, by name."""
    import onnx

    every = list(graphs(onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph))
    values = (value for graph in every for value in (*graph.input, *graph.output, *graph.value_info))
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for graph in every for tensor in graph.initializer}


Names = dict[str, str]  # of a value's form in one type, by its name in the float32 file


class _Conversion:
    """types: of values in the float32 file; exact: those that are computed in float32; kept: initialisers that stay float32"""

    def __init__(self, types: Mapping[str, int], exact: set[str]) -> None:
        self.types, self.exact, self.kept = types, exact, set[str]()
        self.floats = {name for name, kind in types.items() if kind == FLOAT}
        self.casts = 0

    def is_wide(self, node: onnx.NodeProto) -> bool:
        """Whether a node computes in float32 whatever it reads."""
        counts = node.op_type == "Cast" and self.types.get(node.input[0]) in (INT32, INT64)
        return (
            counts or node.op_type in WIDE or (node.op_type not in PRODUCTS and not self.exact.isdisjoint(node.output))
        )

    def _kind(self, name: str) -> int:
        """Of a value that crosses the border of a branch or a loop."""
        return FLOAT if name in self.exact else HALF

    def convert(self, graph: onnx.GraphProto, half: Names, wide: Names, kinds: Sequence[int] | None = None) -> None:
        """half, wide: what the graphs around this one have; kinds: what its real results become, None in the file's own graph."""
        half, wide, nodes, main = dict(half), dict(wide), list[Any](), kinds is None
        for tensor in graph.initializer:
            if tensor.data_type == FLOAT and tensor.name not in self.kept:
                _halve(tensor)
                half[tensor.name] = tensor.name
            elif tensor.data_type == FLOAT:
                wide[tensor.name] = tensor.name
        for value in graph.input:
            if value.name in self.floats and main:
                wide[value.name] = value.name
            elif value.name in self.floats:
                kind = value.type.tensor_type.elem_type = self._kind(value.name)
                (wide if kind == FLOAT else half)[value.name] = value.name
        last = {value.name for value in graph.output if value.name in self.floats} if main else set()
        for node in list(graph.node):
            self._node(node, half, wide, nodes, last)
        for i, value in enumerate(graph.output):
            if value.name not in self.floats:
                continue
            if kinds is not None:
                value.name = self._in(kinds[i], value.name, half, wide, nodes)
                value.type.tensor_type.elem_type = kinds[i]
            elif wide.get(value.name) != value.name:
                nodes.append(_cast(half[value.name], value.name, FLOAT))
        copies = [type(node)() for node in nodes]
        for copy, node in zip(copies, nodes, strict=True):
            copy.CopyFrom(node)
        del graph.node[:], graph.value_info[:]
        graph.node.extend(copies)

    def _node(self, node: onnx.NodeProto, half: Names, wide: Names, nodes: list[Any], last: set[str]) -> None:
        """Add a node in its type. `last`: results of the file, whose names are those of their float32 form."""
        if node.op_type == "Constant" and node.output[0] in self.floats:
            name = node.output[0]
            wide[name], half[name] = name, f"{name}_half"
            nodes += [node, _halved(node, half[name])]
            return
        if inner := bodies(node):
            self._around(node, inner, half, wide, nodes, last)
            return
        given = [name for name in node.input if name in self.floats]
        follows = node.op_type in LAYOUT and bool(given) and all(n in wide and n not in half for n in given)
        is_wide = self.is_wide(node) or follows or any(name in self.kept for name in given)
        kind = FLOAT if is_wide else HALF
        node.input[:] = [self._in(kind, n, half, wide, nodes) if n in self.floats else n for n in node.input]
        for attribute in node.attribute:
            if not is_wide and attribute.HasField("t") and attribute.t.data_type == FLOAT:
                _halve(attribute.t)
            elif not is_wide and node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
                attribute.i = HALF
        self._give(node, [kind] * len(node.output), half, wide, last)
        nodes.append(node)

    def _around(
        self,
        node: onnx.NodeProto,
        inner: list[onnx.GraphProto],
        half: Names,
        wide: Names,
        nodes: list[Any],
        last: set[str],
    ) -> None:
        """Add a branch or a loop, with the same types on either side of its border."""
        carried = [self._kind(value.name) for value in inner[0].input[GIVEN:]]
        kinds = [*carried, *(self._kind(name) for name in node.output[len(carried) :])]
        for i, kind in enumerate(carried, GIVEN):
            if node.input[i] in self.floats:
                node.input[i] = self._in(kind, node.input[i], half, wide, nodes)
        for body in inner:  # a loop's has its condition as its first result
            self.convert(body, half, wide, [HALF, *kinds] if node.op_type == "Loop" else kinds)
        self._give(node, kinds, half, wide, last)
        nodes.append(node)

    def _give(self, node: onnx.NodeProto, kinds: Sequence[int], half: Names, wide: Names, last: set[str]) -> None:
        """A node's results, in their types."""
        for i, (name, kind) in enumerate(zip(node.output, kinds, strict=True)):
            if name in self.floats and kind == FLOAT:
                wide[name] = name
            elif name in self.floats:
                half[name] = node.output[i] = f"{name}_half" if name in last else name

    def _in(self, kind: int, name: str, half: Names, wide: Names, nodes: list[Any]) -> str:
        """A value's form in a type, cast here where there is none yet."""
        have, other = (wide, half) if kind == FLOAT else (half, wide)
        if name not in have:
            self.casts += 1
            have[name] = f"{name}_{'wide' if kind == FLOAT else 'half'}_{self.casts}"
            nodes.append(_cast(other[name], have[name], kind))
        return have[name]


def _cast(source: str, result: str, kind: int) -> onnx.NodeProto:
    from onnx import helper

    return helper.make_node("Cast", [source], [result], name=f"node_{result}", to=kind)


def _halved(node: onnx.NodeProto, name: str) -> onnx.NodeProto:
    """A constant in float16."""
    from onnx import helper, numpy_helper

    (attribute,) = node.attribute
    value = array(attribute.t) if attribute.name == "value" else np.array(helper.get_attribute_value(attribute))
    value = value.astype(np.float32).clip(-HALF_MAX, HALF_MAX).astype(np.float16)
    return helper.make_node("Constant", [], [name], name=f"node_{name}", value=numpy_helper.from_array(value))


def _halve(tensor: onnx.TensorProto) -> None:
    from onnx import numpy_helper

    values = array(tensor).clip(-HALF_MAX, HALF_MAX).astype(np.float16)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
