"""From a torch module to an ONNX model: torch.export, then torch's ONNX translation, both with named dimensions."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from mmspec.deploy.contract import Contract, terms
from mmspec.deploy.cutting import Part
from mmspec.deploy.foreign import Foreign
from mmspec.deploy.translations import TRANSLATIONS
from mmspec.errors import Failure

if TYPE_CHECKING:
    import onnx_ir as ir


def traced(module: nn.Module, contract: Contract, foreign: Foreign) -> ExportedProgram:
    """The program of a module for every size that the contract allows.

    Where a text is cut into blocks, torch cannot prove what it assumes of their number and would refuse. It is then asked to put
    its assumptions into the program, from which they are taken out: `prove` runs the file for other lengths.

    Raises   SpecError: a module of somebody else cannot be traced, or not for all sizes.   Failure: another cannot
    """
    dims = {name: Dim(name, min=size.low, max=size.high) for name, size in contract.dims.items()}
    dynamic: tuple[Any, ...] = tuple(
        {axis: _torch_dim(dim, dims, contract) for axis, dim in enumerate(port.dims) if isinstance(dim, str)}
        for port in contract.inputs
    )
    if isinstance(module, Part):  # which takes any number of values
        dynamic = (dynamic,)

    # now: an interrupt while torch.export imports it would leave it unnamed below
    from torch._dynamo.exc import UserError as Specialised

    # loops are compiled, and the guards of one from before would fix the sizes of this one. What else the process has compiled is
    # compiled again when it is next called
    torch.compiler.reset()
    refusals: list[Exception] = []
    for assumed in (False, True):
        try:
            with quiet(), torch.no_grad(), foreign.watched(module):
                program = torch.export.export(
                    module, example(contract), dynamic_shapes=dynamic, strict=False,
                    prefer_deferred_runtime_asserts_over_guards=assumed,
                )  # fmt: skip
            return _without_assumptions(program) if assumed else program
        except Exception as error:  # whatever somebody else's code raises
            if not isinstance(error, (Specialised, ValueError)) and not foreign.inside:
                raise
            refusals.append(foreign.refusal(error, contract))
    raise refusals[0]


def _without_assumptions(program: ExportedProgram) -> ExportedProgram:
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def translated(program: ExportedProgram, contract: Contract, opset: int) -> tuple[ir.Model, ExportedProgram]:
    """The program as an ONNX model, not yet cleaned, and the program as it was translated, whose nodes the
    model's values are named after.

    Raises   Failure: torch.onnx does not know an operation; inputs or outputs that nothing reads or gives were dropped.
    """
    inputs, outputs = [port.name for port in contract.inputs], [port.name for port in contract.outputs]
    with quiet(), torch.no_grad():
        try:
            try:
                with _as_it_is(program):
                    result = _onnx(program, opset)
            except torch.onnx.errors.OnnxExporterError:  # an operation that it knows only in parts
                result = _onnx(program, opset)
        except torch.onnx.errors.OnnxExporterError as error:
            raise Failure(f"torch.onnx cannot translate the model: {error}") from error
    assert result is not None and result.exported_program is not None
    model: ir.Model = result.model
    for kind, values, names in (("inputs", model.graph.inputs, inputs), ("outputs", model.graph.outputs, outputs)):
        if len(values) != len(names):
            raise Failure(f"the model has the {kind} {', '.join(names)}, and the file {len(values)} of them")
    return model, result.exported_program


def _onnx(program: ExportedProgram, opset: int) -> torch.onnx.ONNXProgram | None:
    return torch.onnx.export(
        program,
        dynamo=True,
        opset_version=opset,
        optimize=False,  # it would merge equal parameters and fold others away; see cleaning.py
        verbose=False,
        custom_translation_table=TRANSLATIONS,
    )


@contextmanager
def _as_it_is(program: ExportedProgram) -> Iterator[None]:
    """The program is translated without being taken apart first, where it consists of operations that have a translation.

    torch.onnx has every program decomposed, which traces it twice more and takes most of a translation's time, and offers no way
    to leave that out. Where an operation computes in place, or has to be replaced by others, it is still done."""

    def decomposed(table: Mapping[Any, Any]) -> ExportedProgram:
        graphs = [each.graph for each in program.graph_module.modules() if isinstance(each, GraphModule)]
        targets = {node.target for graph in graphs for node in graph.nodes if node.op == "call_function"}
        if any(
            each in table or (isinstance(each, OpOverload) and each._schema.is_mutable)
            for each in targets - TRANSLATIONS.keys()
        ):
            parts: ExportedProgram = ExportedProgram.run_decompositions(program, dict(table))
            return parts
        return program

    vars(program)["run_decompositions"] = decomposed
    try:
        yield
    finally:
        del vars(program)["run_decompositions"]


def example(contract: Contract) -> tuple[Tensor, ...]:
    """Tensors of the contract's example sizes, one for each input."""
    sizes = {name: size.example for name, size in contract.dims.items()}
    return tuple(
        torch.ones([_size(dim, sizes) for dim in port.dims], dtype=getattr(torch, port.dtype))
        for port in contract.inputs
    )


def _size(dim: int | str, sizes: Mapping[str, int]) -> int:
    return sum(sizes[term] if isinstance(term, str) else term for term in terms(dim))


def _torch_dim(dim: str, dims: dict[str, Any], contract: Contract) -> Any:
    """A dimension as torch.export says it. Of the sum of two it knows no relation to either: it is one of its own."""
    if dim not in dims:
        names = [term for term in terms(dim) if isinstance(term, str)]
        low, high = (_size(dim, {name: getattr(contract.dims[name], end) for name in names}) for end in ("low", "high"))
        own = len(names) > 1
        dims[dim] = Dim("_".join(names), min=low, max=high) if own else dims[names[0]] + _size(dim, {names[0]: 0})
    return dims[dim]


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages that we do not use and on its own deprecations."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "torch.fx.experimental.symbolic_shapes")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
