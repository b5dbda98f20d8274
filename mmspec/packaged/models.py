"""The ONNX files of a package against its contract: where their weights lie, what goes in and out, whose weights they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmspec.host import STAGES
from mmspec.packaged.held import differs, other_steps, ways
from mmspec.packaged.layout import CONTRACT, ONNX, WEIGHTS
from mmspec.packaged.reading import Unfit, is_inside, read_json
from mmspec.writer import PLAN

if TYPE_CHECKING:
    import onnx

PARTS = {STAGES: ("beginning", "exits", "end"), PLAN: ("encoder", "prefill", "step")}  # what each kind of plan runs
FEWER = {
    "fp32": (),
    "bf16": (),
    "fp16": ("float16",),
    "int8": ("int8",),
    "int4": ("int4",),
}  # how weights may be held as well
DOMAINS = ("", "ai.onnx", "com.microsoft")
MODEL_BYTES = 2**31 - 1  # protobuf's own limit


def files_that_run(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the ONNX files that `runs` leads to.   Raises Unfit."""
    runs, files = manifest["runs"], manifest["files"]
    if runs not in files or not runs.startswith(f"{ONNX}/"):
        raise Unfit(f"what runs, {runs!r}, is no file of {ONNX}/")
    parts = PARTS.get(runs.removeprefix(f"{ONNX}/"))
    if parts is None:
        return (runs,)
    plan = read_json(folder / runs, runs)
    try:
        said = [plan["files"][part] for part in parts]
        names = [name for part in said if part for name in ([part] if isinstance(part, str) else part)]
        paths = tuple(f"{ONNX}/{name}" for name in names)
    except (KeyError, TypeError) as error:
        raise Unfit(f"{runs} is no plan of files that run: {error!r}") from error
    strange = [path for path in paths if path not in files or not is_inside(path)]
    if strange:
        raise Unfit(f"{runs} names {strange[0]!r}, which is no file of the package")
    return paths


def opened(folder: Path, path: str) -> onnx.ModelProto:
    """The file, without what lies beside it.   Raises Unfit."""
    import onnx

    size = (folder / path).stat().st_size
    if size > MODEL_BYTES:
        raise Unfit(f"{path} has {size:,} bytes, and an ONNX file at most {MODEL_BYTES:,}")
    try:
        proto = onnx.load(folder / path, load_external_data=False)
    except Exception as error:  # protobuf's own kinds, which share no base
        raise Unfit(f"{path} is no ONNX file: {_line(error)}") from error
    types = set(onnx.TensorProto.DataType.values()) - {onnx.TensorProto.UNDEFINED}
    strange = next((tensor for tensor in tensors(proto) if tensor.data_type not in types), None)
    if strange is not None:
        raise Unfit(f"{path}: {strange.name} is of type {strange.data_type}, which ONNX does not have")
    return proto


def misplaced_weights(folder: Path, path: str, proto: onnx.ModelProto, files: Mapping[str, Any]) -> Iterator[str]:
    """Tensors whose bytes are not in a plain file of the same folder, or are not all there."""
    home = os.path.dirname(path)
    for tensor in tensors(proto):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        beside = f"{home}/{said.get('location', '')}"
        if not is_inside(beside) or "/" in said.get("location", "") or beside not in files:
            yield f"{path}: {tensor.name} lies in {said.get('location', '')!r}, which is no file beside it"
            continue
        try:
            offset, length = int(said.get("offset", "0")), int(said["length"])
        except (KeyError, ValueError):
            yield f"{path}: {tensor.name} does not say where in {beside} it lies"
            continue
        if offset < 0 or length < 0 or offset + length > files[beside]["bytes"]:
            yield f"{path}: {tensor.name} ends behind the end of {beside}"
        elif length != _bytes_of(tensor):
            yield f"{path}: {tensor.name} takes {length:,} bytes of {beside}, and needs {_bytes_of(tensor):,}"


def malformed(folder: Path, path: str, proto: onnx.ModelProto) -> Iterator[str]:
    """What ONNX itself says against a file."""
    import onnx

    foreign = sorted({entry.domain for entry in proto.opset_import} - set(DOMAINS))
    if foreign:
        yield f"{path} asks for operators of {', '.join(foreign)}"
    try:
        onnx.checker.check_model(str(folder / path))
    except Exception as error:
        yield f"{path} is not valid ONNX: {_line(error)}"


def other_ports(path: str, proto: onnx.ModelProto, contract: Mapping[str, Any]) -> Iterator[str]:
    """Inputs and outputs that are not those of the contract."""
    from onnx import helper

    for kind, values in (("inputs", proto.graph.input), ("outputs", proto.graph.output)):
        found = {}
        for value in values:
            tensor = value.type.tensor_type
            dims = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
            found[value.name] = (np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name, dims)
        wanted = {name: (port["dtype"], port["dims"]) for name, port in contract[kind].items()}
        if list(found) != list(wanted):
            yield f"{path}: its {kind} are {', '.join(found)}, and those of the contract {', '.join(wanted)}"
            continue
        for name, (dtype, dims) in wanted.items():
            if found[name] != (dtype, dims):
                yield f"{path}: {name} is {found[name][0]}{found[name][1]}, and {dtype}{dims} in the contract"


def other_weights(folder: Path, path: str, proto: onnx.ModelProto, precision: str) -> Iterator[str]:
    """Initialisers that bear the name of one of the model's weights and are not it, or not in bits that the precision has.

    Raises   Unfit: an unknown precision; weights that cannot be read.
    """
    import safetensors
    from onnx import numpy_helper

    held = {tensor.name: tensor for tensor in proto.graph.initializer}

    def read(part: str) -> np.ndarray:
        return numpy_helper.to_array(held[part], str(folder / ONNX))

    if precision not in FEWER:
        raise Unfit(f"{CONTRACT} says that it is in {precision!r}, where {', '.join(FEWER)} are known")
    allowed = ("float32", "as it is", *FEWER[precision])
    try:
        opened = safetensors.safe_open(folder / WEIGHTS, framework="numpy")
    except safetensors.SafetensorError as error:
        raise Unfit(f"{WEIGHTS} is no safetensors file: {_line(error)}") from error
    with opened as weights:
        known = set(weights.keys())
        for name, how in ways(proto):
            if name not in known:
                continue
            if how not in allowed:
                yield f"{path}: the weight {name} is in {how}, which a package in {precision} has none of"
                continue
            if wrong := differs(how, name, read, weights.get_tensor(name)):
                yield f"{path}: the weight {name} {wrong}, as it is in {WEIGHTS}"


def other_ranges(folder: Path, path: str, proto: onnx.ModelProto, contract: Mapping[str, Any]) -> Iterator[str]:
    """Layers with static activations whose steps are not those of the ranges in the contract."""
    from onnx import numpy_helper

    held = {tensor.name: tensor for tensor in proto.graph.initializer}
    found = other_steps(
        proto, lambda name: numpy_helper.to_array(held[name], str(folder / ONNX)), contract.get("ranges", {})
    )
    yield from (f"{path}: {problem}, as {CONTRACT} has it" for problem in found)


def other_thresholds(proto: onnx.ModelProto, contract: Mapping[str, Any]) -> Iterator[str]:
    """Thresholds in a file that are not those of the contract."""
    from onnx import numpy_helper

    held = {tensor.name: tensor for tensor in proto.graph.initializer}
    for stack, wanted in contract.get("thresholds", {}).items():
        tensor = held.get(f"{stack}.thresholds")
        if tensor is None or numpy_helper.to_array(tensor).tolist() != wanted:
            yield f"the thresholds of {stack} are not those of the contract"


def tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a file, those in attributes, branches and functions included."""
    yield from _of_graph(proto.graph)
    for function in proto.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _of_graph(graph)


def _bytes_of(tensor: onnx.TensorProto) -> int:
    from onnx import helper

    count = 1
    for size in tensor.dims:
        count *= size
    return count * np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
