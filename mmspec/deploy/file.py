"""The file's bytes, and reading and changing what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from mmspec import __version__
from mmspec.deploy.external import laid_down, too_large, without_weights
from mmspec.errors import Failure
from mmspec.host import Load as Load
from mmspec.host import Run, session

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

FILE = "model.onnx"
Found = TypeVar("Found")
Arrays = dict[str, np.ndarray]


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


def read_in(proto: onnx.ModelProto) -> Callable[[str], np.ndarray]:
    """What the main graph holds, by name.   Raises KeyError: nothing of that name"""
    held = initializers(proto)
    return lambda name: array(held[name])


def with_arrays(proto: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A copy in which these initialisers have other values, of the same shapes, in the type that they have in the file; the file
    itself where it holds none of them."""
    from onnx import helper, numpy_helper

    if not initializers(proto).keys() & arrays.keys():
        return proto
    copy = without_weights(proto)
    for name, tensor in initializers(proto).items():
        held = copy.graph.initializer.add()
        if name not in arrays:
            held.CopyFrom(tensor)
        else:
            assert tuple(tensor.dims) == arrays[name].shape, f"{name} is {list(tensor.dims)} in the file"
            value = arrays[name].astype(helper.tensor_dtype_to_np_dtype(tensor.data_type), order="C", copy=False)
            held.CopyFrom(numpy_helper.from_array(value, name))
    return copy


@dataclass(frozen=True)
class OneFile:
    """A file by itself, to be compared with a module."""

    proto: onnx.ModelProto

    @property
    def protos(self) -> Mapping[str, onnx.ModelProto]:
        """What is written, by name."""
        return {FILE: self.proto}

    def array(self, name: str) -> np.ndarray:
        return array(initializers(self.proto)[name])

    def with_arrays(self, arrays: Mapping[str, np.ndarray]) -> OneFile:
        return OneFile(with_arrays(self.proto, arrays))

    def changed(self, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> OneFile:
        return OneFile(change(self.proto))

    def run(self, load: Load = session) -> Callable[[tuple[Tensor, ...]], dict[str, np.ndarray]]:
        return run_file(self.proto, load)

    tried = run

    def asked(self, outputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return outputs


def run_file(file: onnx.ModelProto, load: Load = session) -> Callable[[tuple[Tensor, ...]], dict[str, np.ndarray]]:
    """The file in a runtime, as a function of its inputs in order.   Raises Failure: it cannot be loaded."""
    run = loaded(file, load)
    names = [value.name for value in file.graph.input]
    return lambda given: run({name: tensor.numpy() for name, tensor in zip(names, given, strict=True)})


def loaded(file: onnx.ModelProto, load: Load) -> Run:
    """The file in a runtime, with as many threads as torch has.   Raises Failure: it cannot be loaded."""
    return read_by(file, lambda given: load(given, torch.get_num_threads()))


def read_by(file: onnx.ModelProto, read: Callable[[bytes | str], Found]) -> Found:
    """What a runtime makes of a file: of its bytes, or the path of one that is too large.   Raises Failure: it cannot be loaded."""
    try:
        if too_large(file):
            with laid_down(file) as path:
                return read(path)
        return read(file.SerializeToString())
    except Exception as error:  # the runtime's own kinds, which share no base
        raise Failure(f"the runtime cannot load the exported file: {' '.join(str(error).split())[:300]}") from error
