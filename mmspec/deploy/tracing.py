"""From a torch module to an ONNX model: torch.export, then torch's ONNX translation, both with named dimensions."""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mmspec.deploy.contract import Contract, terms
from mmspec.deploy.cutting import Part
from mmspec.deploy.foreign import Foreign
from mmspec.errors import Failure

if TYPE_CHECKING:
    import onnx_ir as ir

INT64_MAX = 2**63 - 1


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
            result = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                optimize=False,  # it would merge equal parameters and fold others away; see cleaning.py
                verbose=False,
                custom_translation_table=TRANSLATIONS,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise Failure(f"torch.onnx cannot translate the model: {error}") from error
    assert result is not None and result.exported_program is not None
    model: ir.Model = result.model
    for kind, values, names in (("inputs", model.graph.inputs, inputs), ("outputs", model.graph.outputs, outputs)):
        if len(values) != len(names):
            raise Failure(f"the model has the {kind} {', '.join(names)}, and the file {len(values)} of them")
    return model, result.exported_program


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


def _less_or_equal(left: Any, right: Any) -> Any:
    """torch bounds the sizes that it knows only at run time by numbers beyond int64; a size is below int64's own end as well."""
    from onnxscript import opset18 as op

    left, right = (min(side, INT64_MAX) if isinstance(side, int) else side for side in (left, right))
    return op.LessOrEqual(left, right)


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(q k^T / sqrt(d)) v, in five operators; torch's translation takes twenty, which ONNX Runtime does not fuse. Where
    it is causal, the scores of later keys are the least there are.
    [B, h, N, d], [B, h, M, d], [B, h, M, d] -> [B, h, N, d]"""
    from onnxscript import opset18

    op: Any = opset18  # whose types know tensors of a model only, and not the numbers that it turns into tensors
    assert attn_mask is None and not enable_gqa, "masks are written out by runtime.attention"
    width = query.shape[3]
    scores = op.MatMul(query, op.Transpose(key, perm=[0, 1, 3, 2]))
    scores = op.Mul(scores, float(width) ** -0.5 if scale is None else scale)
    if is_causal:
        past = op.Cast(op.Trilu(op.Expand(1.0, op.Shape(scores)), upper=0), to=onnx.TensorProto.BOOL)
        scores = op.Where(past, scores, torch.finfo(torch.float32).min)
    return op.MatMul(op.Softmax(scores, axis=-1), value)


def _divided(x: Any, by: Any, rounding_mode: str | None = None) -> Any:
    """Integers are divided as integers, and without a rest: what is left over is taken away before.

    torch's translation makes floating-point numbers of them on the way, of which a runtime that computes in bfloat16 keeps 8 bits:
    the 1,001st place would become the 1,000th. OpenVINO computes a division in one kernel with the sum before it, and rounds where
    ONNX cuts off: 35 / 4 is 9 there.
    """
    from onnxscript import opset18
    from onnxscript.function_libs.torch_lib.ops.core import aten_div_mode

    op: Any = opset18
    if rounding_mode is not None and x.dtype.is_integer():
        by = op.CastLike(by, x)
        return op.Div(op.Sub(x, op.Mod(x, by, fmod=int(rounding_mode == "trunc"))), by)
    return aten_div_mode(x, by, rounding_mode)


def _floor_divided(x: Any, by: Any) -> Any:
    """`x // by`: see `_divided`."""
    return _divided(x, by, "floor")


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.le: _less_or_equal,
    torch.ops.aten.scaled_dot_product_attention.default: _attention,
    torch.ops.aten.div.Tensor_mode: _divided,
    torch.ops.aten.floor_divide.default: _floor_divided,
}


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
