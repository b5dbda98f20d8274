"""The file's bytes, and reading and changing what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mmspec import __version__
from mmspec.errors import Failure

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


def proto_of(model: ir.Model, name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The model as it is written: named, with its provenance, and without shapes of inner values, which readers infer."""
    import onnx_ir as ir

    proto = ir.to_proto(model)
    proto.producer_name, proto.producer_version = "mmspec", __version__
    proto.graph.name = name
    for graph in graphs(proto.graph):
        del graph.value_info[:]
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    return proto


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


def operators(proto: onnx.ModelProto) -> Counter[str]:
    """How often each operator is used, branches included."""
    return Counter(node.op_type for graph in graphs(proto.graph) for node in graph.node)


def initializers(proto: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """The tensors that the main graph holds, by name."""
    return {tensor.name: tensor for tensor in proto.graph.initializer}


def array(tensor: onnx.TensorProto) -> np.ndarray:
    from onnx import numpy_helper

    return numpy_helper.to_array(tensor)


def with_arrays(proto: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A copy in which these initialisers have other values, of the same shapes."""
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for name, tensor in initializers(copy).items():
        if name in arrays:
            assert tuple(tensor.dims) == arrays[name].shape, f"{name} is {list(tensor.dims)} in the file"
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(arrays[name]), name))
    return copy


@dataclass(frozen=True)
class OneFile:
    """A file by itself, to be compared with a module."""

    proto: onnx.ModelProto

    def array(self, name: str) -> np.ndarray:
        return array(initializers(self.proto)[name])

    def with_arrays(self, arrays: Mapping[str, np.ndarray]) -> OneFile:
        return OneFile(with_arrays(self.proto, arrays))

    def run(self) -> Callable[[tuple[Tensor, ...]], dict[str, np.ndarray]]:
        return run_file(self.proto)


def run_file(file: onnx.ModelProto) -> Callable[[tuple[Tensor, ...]], dict[str, np.ndarray]]:
    """The file in ONNX Runtime on the CPU, as a function of its inputs in order.   Raises Failure: it cannot be loaded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own kinds, which share no base
        raise Failure(f"ONNX Runtime cannot load the exported file: {' '.join(str(error).split())[:300]}") from error
    inputs, outputs = ([value.name for value in values] for values in (session.get_inputs(), session.get_outputs()))

    def run(given: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
        feed = {name: tensor.numpy() for name, tensor in zip(inputs, given, strict=True)}
        return dict(zip(outputs, session.run(None, feed), strict=True))

    return run
