"""Weights beside ONNX files: `model.onnx.data`, or `weights.data` of several files, where a target asks for it, or where protobuf
cannot hold them any more.

A file of more than 2 GB cannot be serialised; it is written in two parts, which checker and runtime read by path.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmspec.packaged.layout import BESIDE

if TYPE_CHECKING:
    import onnx

LARGEST = 2**31 - (1 << 24)  # bytes of weights that a file takes; protobuf ends at 2 GiB, and nodes need room
SMALL = 1024  # bytes; what is smaller stays inside
PAGE = 4096  # bytes; a runtime maps what begins at one


def too_large(proto: onnx.ModelProto) -> bool:
    """Whether its weights do not fit into one file."""
    return sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > LARGEST


def serialised(protos: Mapping[str, onnx.ModelProto], beside: bool = False) -> dict[str, bytes]:
    """The files' content by name. Where it is asked for, or one is too large for one part, the weights of all of them lie beside
    them in one file, each once: `model.onnx.data` of one file, `weights.data` of several."""
    if not beside and not any(map(too_large, protos.values())):
        return {name: proto.SerializeToString(deterministic=True) for name, proto in protos.items()}
    data = _Data((next(iter(protos)) if len(protos) == 1 else "weights") + BESIDE)
    parts = {name: data.without_weights(proto) for name, proto in protos.items()}
    return {**parts, data.name: data.content.getvalue()}


def without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of all but the main graph's initialisers, of which there may be more than memory for twice."""
    import onnx

    rest = onnx.ModelProto()
    _copy(proto, rest, but="graph")
    _copy(proto.graph, rest.graph, but="initializer")
    return rest


def _copy(source: Any, into: Any, but: str) -> None:
    for field, value in source.ListFields():
        if field.name == but:
            continue
        if isinstance(value, (str, bytes, int, float)):
            setattr(into, field.name, value)
        else:
            getattr(into, field.name).MergeFrom(value)


class _Data:
    """Weights in a file of their own; `places` in it by name and content: files that hold the same weight share it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.content = io.BytesIO()  # gives its bytes without a copy
        self.places: dict[tuple[str, bytes], int] = {}

    def without_weights(self, proto: onnx.ModelProto) -> bytes:
        """The rest of a file, which says where its weights are."""
        import onnx
        from onnx import numpy_helper

        rest = without_weights(proto)
        for held in proto.graph.initializer:
            content = bytes(held.raw_data or numpy_helper.to_array(held).tobytes())
            if len(content) < SMALL:
                rest.graph.initializer.add().CopyFrom(held)
                continue
            tensor = rest.graph.initializer.add(name=held.name, dims=held.dims, data_type=held.data_type)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            said = (("location", self.name), ("offset", self.place(tensor.name, content)), ("length", len(content)))
            for key, value in said:
                tensor.external_data.add(key=key, value=str(value))
        return bytes(rest.SerializeToString(deterministic=True))

    def place(self, name: str, content: bytes) -> int:
        key = name, hashlib.sha256(content).digest()
        if key not in self.places:
            self.content.write(bytes(-self.content.tell() % PAGE))
            self.places[key] = self.content.tell()
            self.content.write(content)
        return self.places[key]


@contextmanager
def laid_down(proto: onnx.ModelProto) -> Iterator[str]:
    """The path of a file that is too large for one part, while somebody reads it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in serialised({"model.onnx": proto}).items():
            (Path(folder) / name).write_bytes(content)
        yield str(Path(folder) / "model.onnx")
