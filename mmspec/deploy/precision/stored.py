"""How the weights of a file of fewer bits are to be held, and what is wrong where they are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmspec.deploy.file import graphs, read_in
from mmspec.deploy.structure import FOREIGN, reachable
from mmspec.packaged.held import BITS, QUANTIZED, differs, model_name, stored, ways

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Asked:
    """How the weights of a file are to be held.   wanted: by name, where not float32; others may be any of `free`"""

    wanted: Mapping[str, str]
    free: tuple[str, ...] = ("float32",)

    def problems(self, proto: onnx.ModelProto, weights: Mapping[str, np.ndarray], live: set[str]) -> Iterator[str]:
        """What is wrong with the weights of a file.   weights: the model's; those in `live` must be there and lead to an output"""
        how, used = stored(proto), reachable(proto.graph)
        for name in sorted(live):
            if name not in how:
                yield f"the weight {name} is missing"
            elif not {name, f"{name}{QUANTIZED}", f"{name}{BITS}"} & used:
                yield f"the weight {name} is there, but no output depends on it"
        for name in sorted(how.keys() & weights.keys()):
            free = self.free if weights[name].dtype == np.float32 else ("as it is",)
            asked = (self.wanted[name],) if name in self.wanted else free
            if how[name] not in asked:
                yield f"the weight {name} is held in {how[name]}, where {' or '.join(asked)} was asked for"
        for name, way in ways(proto):
            if name in weights and (problem := differs(way, name, read_in(proto), weights[name])):
                yield f"the weight {name} {problem}"
        for graph in graphs(proto.graph):
            for tensor in graph.initializer:
                if model_name(tensor.name) not in weights and np.prod(tensor.dims) > FOREIGN:
                    yield f"the constant {tensor.name} of {list(tensor.dims)} is no parameter of the model"
