"""Where a file and torch part: the first node of the file whose value differs, for the message of a failed comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from mmspec.deploy.file import Load, initializers, run_file

if TYPE_CHECKING:
    import onnx


def first_divergence(
    file: onnx.ModelProto,
    program: ExportedProgram,
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    tolerance: float,
    load: Load,
) -> str | None:
    """The first node, outside of branches, that gives something else than torch's node of the same name; None where all agree.

    program  what was translated: the names of its nodes are the file's
    model    holds the weights and thresholds of the comparison that failed
    """
    import onnx

    values = _Recorder(program.graph_module).record(program, model, inputs)
    probe = onnx.ModelProto()
    probe.CopyFrom(file)
    known = {output.name for output in probe.graph.output}
    nodes = {name: node for node in probe.graph.node for name in node.output if name in values and name not in known}
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in nodes)
    found = run_file(probe, load)(inputs)
    for name, node in nodes.items():
        wanted = values[name].numpy()
        if found[name].shape != wanted.shape:
            return _told(node, file, f"gives {list(found[name].shape)}, torch {list(wanted.shape)}")
        error = np.abs(found[name].astype(np.float64) - wanted.astype(np.float64)).max(initial=0)
        if not error <= tolerance * max(1.0, float(np.abs(wanted).max(initial=0))):
            return _told(node, file, f"off by {error:.3g}")
    return None


def _told(node: onnx.NodeProto, file: onnx.ModelProto, what: str) -> str:
    """The node and the weights that it reads, transposed or not: they say where in the model it is."""
    held = initializers(file)
    sources = {
        name: list(other.input) for other in file.graph.node if other.op_type == "Transpose" for name in other.output
    }
    weights = [w for name in node.input for w in sources.get(name, [name]) if w in held]
    return f"{node.name} ({node.op_type}{' of ' + ', '.join(weights) if weights else ''}) {what}"


class _Recorder(fx.Interpreter):
    """Runs a program and keeps what its nodes gave, tensors only."""

    def record(self, program: ExportedProgram, model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        self.values: dict[str, Tensor] = {}
        state = dict(model.named_parameters()) | dict(model.named_buffers()) | dict(program.constants)
        given = iter(inputs)
        arguments = [
            next(given) if spec.kind is InputKind.USER_INPUT else state[spec.target or ""]
            for spec in program.graph_signature.input_specs
        ]
        with torch.no_grad():
            self.run(*arguments)
        return self.values

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, Tensor):
            self.values[n.name] = result
        return result
