"""An ONNX model as a person would want to meet it: short, with our parameters under our names, and nothing of this machine.

torch's own optimiser is not used: it merges parameters of equal value (all fresh biases become one), stores transposed copies
of weights under invented names, and folds thresholds away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmspec.deploy.contract import Contract

if TYPE_CHECKING:
    import onnx_ir as ir

SMALL = 1024  # elements; larger constants are computed when a session starts instead of being stored


def clean(model: ir.Model, contract: Contract) -> ir.Model:
    """Run the passes. The model computes the same; every initialiser is a parameter of ours or a stack's thresholds."""
    with unseen(model):
        for run in PASSES:
            run(model)
    name_ports(model, contract)
    return model


@contextmanager
def unseen(model: ir.Model) -> Iterator[None]:
    """The values of the parameters, out of sight: a rule that sees a bias of zeros removes it, one that sees weights folds them."""
    values = {value: value.const_value for value in model.graph.initializers.values()}
    for value in values:
        value.const_value = None
    yield
    for value, tensor in values.items():
        value.const_value = tensor


def inline(model: ir.Model) -> None:
    from onnx_ir.passes.common import InlinePass

    InlinePass()(model)


def widen(model: ir.Model) -> None:
    """Pad of truth values and CumSum of integers, which ONNX Runtime has and TensorRT has not, as those of numbers that both have.
    A count in float32 is exact up to 2^24."""
    import onnx_ir as ir

    kinds = {
        "Pad": (ir.DataType.BOOL, ir.DataType.INT32),
        "CumSum": (ir.DataType.INT64, ir.DataType.FLOAT),
    }
    for graph in (model.graph, *_subgraphs(model)):
        for node in list(graph):
            value = node.inputs[0] if node.op_type in kinds else None
            if value is not None and value.dtype == kinds[node.op_type][0]:
                _between_casts(graph, node, kinds[node.op_type])


def _between_casts(graph: ir.Graph, node: ir.Node, kinds: tuple[ir.DataType, ir.DataType]) -> None:
    """The node computed in a wider type; the value it gives keeps type and name."""
    import onnx_ir as ir

    (narrow, wide), given = kinds, node.outputs[0]
    for i, value in enumerate(node.inputs):
        if value is not None and value.dtype == narrow and (i == 0 or (node.op_type == "Pad" and i == 2)):
            cast = ir.node("Cast", [value], attributes={"to": wide})
            cast.outputs[0].dtype, cast.outputs[0].shape = wide, value.shape
            graph.insert_before(node, cast)
            node.replace_input_with(i, cast.outputs[0])
    uses, ends = list(given.uses()), [i for i, value in enumerate(graph.outputs) if value is given]
    back = ir.node("Cast", [given], attributes={"to": narrow})
    back.outputs[0].dtype, back.outputs[0].shape = narrow, given.shape
    back.outputs[0].name, given.name, given.dtype = given.name, f"{given.name}_wide", wide
    graph.insert_after(node, back)
    for user, i in uses:
        user.replace_input_with(i, back.outputs[0])
    for i in ends:
        graph.outputs[i] = back.outputs[0]


def fold(model: ir.Model) -> None:
    """Compute what depends on no input and on no parameter."""
    from onnxscript.optimizer import fold_constants_ir

    fold_constants_ir(model, onnx_shape_inference=True, output_size_limit=SMALL)


def simplify(model: ir.Model) -> None:
    """Reshapes of reshapes, casts to the same type, and the like."""
    from onnxscript.rewriter import rewrite

    rewrite(model)


def bound(model: ir.Model) -> None:
    """Clip of integers, which ONNX Runtime has and TensorRT has not, as Max and Min, which both have."""
    import onnx_ir as ir

    for graph in (model.graph, *_subgraphs(model)):
        for node in list(graph):
            given = node.outputs[0] if node.outputs else None
            if node.op_type != "Clip" or given is None or given.dtype is None or not given.dtype.is_integer():
                continue
            value, *bounds = node.inputs
            for kind, limit in zip(("Max", "Min"), bounds, strict=False):
                if limit is not None:
                    step = ir.node(kind, [value, limit])
                    step.outputs[0].dtype, step.outputs[0].shape = given.dtype, given.shape
                    graph.insert_before(node, step)
                    value = step.outputs[0]
            assert value is not None
            value.name, given.name = given.name, None
            ir.convenience.replace_all_uses_with(given, value, replace_graph_outputs=True)
            graph.remove(node, safe=True)


def merge(model: ir.Model) -> None:
    from onnx_ir.passes.common import CommonSubexpressionEliminationPass

    CommonSubexpressionEliminationPass()(model)


def drop_unused(model: ir.Model) -> None:
    from onnx_ir.passes.common import RemoveUnusedNodesPass, RemoveUnusedOpsetsPass

    RemoveUnusedNodesPass()(model)
    RemoveUnusedOpsetsPass()(model)


def strip(model: ir.Model) -> None:
    """Without stack traces and paths."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    for graph in (model.graph, *_subgraphs(model)):
        graph.metadata_props.clear()
        graph.doc_string = None
        for value in _values(graph):
            value.metadata_props.clear()
            value.doc_string = None


PASSES: tuple[Callable[[ir.Model], None], ...] = (
    inline,  # the rest looks at one graph
    widen,  # casts that it makes of constants are folded
    fold,  # shapes of constants, before rules look at them
    simplify,
    bound,  # after the rules, which make Clip of Max and Min
    fold,  # what the rules made constant
    merge,  # after folding: equal constants make equal expressions
    drop_unused,  # what all of them left behind
    strip,
)


def name_ports(model: ir.Model, contract: Contract) -> None:
    """The contract's names on inputs and outputs, and none of them on any other value: a model in which one name means two
    things is invalid, and torch writes it without a warning."""
    import onnx_ir as ir
    from onnx_ir.passes.common import NameFixPass

    ports = {port.name for port in (*contract.inputs, *contract.outputs)}
    for graph in (model.graph, *_subgraphs(model)):
        for value in _values(graph):
            if value.name in ports and not value.is_initializer():
                value.name = f"{value.name}_value"
    _part_ends(model)
    for end, port in zip(
        (*model.graph.inputs, *model.graph.outputs), (*contract.inputs, *contract.outputs), strict=True
    ):
        end.name = port.name
        if _may_be(end.shape, port.dims):
            end.shape = ir.Shape(port.dims)  # "s40" is called batch; a size that was frozen stays, and is refused later
    NameFixPass()(model)


def _part_ends(model: ir.Model) -> None:
    """An output that is an input, or another output, as it is becomes a value of its own, which can bear a name of its own."""
    import onnx_ir as ir

    taken = set(model.graph.inputs)
    for i, value in enumerate(model.graph.outputs):
        if value in taken:
            node = ir.node("Identity", [value])
            node.outputs[0].type, node.outputs[0].shape = value.type, value.shape
            model.graph.append(node)
            model.graph.outputs[i] = node.outputs[0]
        taken.add(value)


def _may_be(shape: ir.Shape | None, dims: tuple[int | str, ...]) -> bool:
    """Whether what is known of a shape has the same numbers, and symbols where the contract has names."""
    if shape is None or len(shape) != len(dims):
        return False
    return all(
        known == dim if isinstance(known, int) else isinstance(dim, str) for known, dim in zip(shape, dims, strict=True)
    )


def _subgraphs(model: ir.Model) -> Iterator[ir.Graph]:
    return iter(model.graph.subgraphs())


def _values(graph: ir.Graph) -> Iterable[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs
