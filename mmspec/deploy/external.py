"""Weights beside an ONNX file: `model.onnx.data`, where a target asks for it, or where protobuf cannot hold them any more.

A file of more than 2 GB cannot be serialised; it is written in two parts, which checker and runtime read by path.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mmspec.packaged.layout import BESIDE

if TYPE_CHECKING:
    import onnx

LARGEST = 2**31 - (1 << 24)  # bytes of weights that a file takes; protobuf ends at 2 GiB, and nodes need room
SMALL = 1024  # bytes; what is smaller stays inside
PAGE = 4096  # bytes; a runtime maps what begins at one


def too_large(proto: onnx.ModelProto) -> bool:
    """Whether its weights do not fit into one file."""
    return sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > LARGEST


def serialised(name: str, proto: onnx.ModelProto, beside: bool = False) -> dict[str, bytes]:
    """The file's content by name, in one part, or in two where it is asked for or too large for one."""
    if not beside and not too_large(proto):
        return {name: proto.SerializeToString(deterministic=True)}
    import onnx
    from onnx import numpy_helper

    rest = onnx.ModelProto()
    rest.CopyFrom(proto)
    data = bytearray()
    for tensor in rest.graph.initializer:
        content = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
        if len(content) < SMALL:
            continue
        data.extend(bytes(-len(data) % PAGE))
        for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            tensor.ClearField(field)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", name + BESIDE), ("offset", len(data)), ("length", len(content))):
            tensor.external_data.add(key=key, value=str(value))
        data.extend(content)
    return {name: rest.SerializeToString(deterministic=True), name + BESIDE: bytes(data)}


@contextmanager
def laid_down(proto: onnx.ModelProto) -> Iterator[str]:
    """The path of a file that is too large for one part, while somebody reads it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in serialised("model.onnx", proto).items():
            (Path(folder) / name).write_bytes(content)
        yield str(Path(folder) / "model.onnx")
