"""config.pbtxt: what Triton must be told of a model.

Where all inputs and outputs begin with the batch, Triton batches requests: max_batch_size is the contract's limit and `dims` leave
the batch out. Elsewhere max_batch_size is 0 and `dims` are whole. A value that is one number per sample has no dimension left, and
Triton knows none without: it is told as [1], reshaped to [].

Source   github.com/triton-inference-server: server docs/user_guide/model_configuration.md, common protobuf/model_config.proto,
         core src/model_config_utils.cc
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mmspec.deploy.contract import Contract, Port
from mmspec.deploy.triton.options import Triton
from mmspec.errors import Failure

if TYPE_CHECKING:
    import onnx

TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "int64": "TYPE_INT64", "bool": "TYPE_BOOL"}
ONNX_TYPES = {1: "TYPE_FP32", 10: "TYPE_FP16", 7: "TYPE_INT64", 9: "TYPE_BOOL"}  # of onnx.TensorProto


@dataclass(frozen=True)
class Enum:
    """A word that protobuf writes without quotes."""

    name: str


Fields = dict[str, Any]  # of a message: numbers, texts, enums, messages, lists of them


def config(
    name: str,
    contract: Contract,
    options: Triton,
    backend: str,
    batched: bool,
    kind: str,
    warm: Mapping[str, Sequence[int]] | None = None,
) -> Fields:
    """The configuration of one model.

    contract   of its inputs and outputs
    batched    whether Triton may put requests together
    kind       "cpu" or "gpu": where its instances are
    warm       by input, the shape of what lies in warmup/<input> to run once before the first request
    """
    fields: Fields = {
        "name": name,
        "backend": backend,
        "max_batch_size": contract.batch_limit if batched else 0,
        "input": [_told(port, batched) for port in contract.inputs],
        "output": [_told(port, batched) for port in contract.outputs],
        "instance_group": [{"count": options.instances, "kind": Enum(f"KIND_{kind.upper()}")}],
    }
    if batched:
        fields["dynamic_batching"] = {
            "preferred_batch_size": list(options.preferred_batches),
            "max_queue_delay_microseconds": options.delay_us,
        }
    if warm is not None:
        fields["model_warmup"] = [{"name": "once", "batch_size": 1, "inputs": _warmed(contract, warm, batched)}]
    return fields


def can_batch(contract: Contract) -> bool:
    """Whether every input and output begins with a batch that may be 1 and more."""
    named = contract.dims.get("batch")
    ports = (*contract.inputs, *contract.outputs)
    return named is not None and named.low == 1 and all(port.dims[:1] == ("batch",) for port in ports)


def text(fields: Fields, indent: str = "") -> str:
    """In protobuf's text format."""
    return "".join(_lines(fields, indent))


def problems(parsed: Any, proto: onnx.ModelProto) -> Iterator[str]:
    """Where a parsed configuration is not what the ONNX file has: names, types, ranks and sizes."""
    batched = parsed.max_batch_size > 0
    for kind, told, held in (("input", parsed.input, proto.graph.input), ("output", parsed.output, proto.graph.output)):
        if [each.name for each in told] != [value.name for value in held]:
            yield f"its {kind}s are {[each.name for each in told]}, and the file's {[value.name for value in held]}"
            continue
        for each, value in zip(told, held, strict=True):
            tensor = value.type.tensor_type
            dims = [-1 if dim.dim_param else dim.dim_value for dim in tensor.shape.dim]
            said = list(each.reshape.shape) if each.HasField("reshape") else list(each.dims)
            if [-1] * batched + said != dims:
                yield f"the {kind} {each.name} is {[-1] * batched + said}, and the file's {dims}"
            if parsed_type(each) != ONNX_TYPES.get(tensor.elem_type):
                yield f"the {kind} {each.name} is {parsed_type(each)}, and the file's is of ONNX type {tensor.elem_type}"


def parsed_type(port: Any) -> str:
    return str(port.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[port.data_type].name)


def parse(content: str) -> Any | None:
    """The text as Triton's own protobuf reads it; None where tritonclient is not installed.

    Raises   Failure: Triton would not read it
    """
    if find_spec("tritonclient") is None or find_spec("grpc") is None:
        return None
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    try:
        return text_format.Parse(content, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise Failure(f"Triton's protobuf does not read config.pbtxt: {error}") from error


def _told(port: Port, batched: bool) -> Fields:
    dims = [dim if isinstance(dim, int) else -1 for dim in port.dims[1 if batched else 0 :]]
    fields: Fields = {"name": port.name, "data_type": Enum(TYPES[port.dtype]), "dims": dims or [1]}
    return fields if dims else fields | {"reshape": {"shape": []}}


def _warmed(contract: Contract, warm: Mapping[str, Sequence[int]], batched: bool) -> list[Fields]:
    return [
        {
            "key": port.name,
            "value": {
                "data_type": Enum(TYPES[port.dtype]),
                "dims": list(warm[port.name][1 if batched else 0 :]) or [1],
                "input_data_file": port.name,
            },
        }
        for port in contract.inputs
    ]


def _lines(fields: Fields, indent: str) -> Iterator[str]:
    for key, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for each in value:
                yield f"{indent}{key} {{\n{text(each, indent + '  ')}{indent}}}\n"
        elif isinstance(value, dict):
            yield f"{indent}{key} {{\n{text(value, indent + '  ')}{indent}}}\n"
        else:
            yield f"{indent}{key}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, Enum):
        return value.name
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else str(value)
