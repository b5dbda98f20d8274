"""A spec as a torch module with weights."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode

from mmspec.backend.averages import follow
from mmspec.backend.fresh import Drawing
from mmspec.backend.fx import graph_module
from mmspec.backend.opaque import imported
from mmspec.backend.runtime import Projections, tables
from mmspec.cost.budgets import with_costs
from mmspec.errors import UserError
from mmspec.ir import Graph, parameter_count, parameters
from mmspec.ir.graph import operations
from mmspec.passes import join_projections, lower, lower_objectives, lower_serving, products_for_inference
from mmspec.passes.averages import averages
from mmspec.passes.lowering import PROGRESS
from mmspec.spec import ModelSpec

FLOAT_BYTES = 4
DTYPES = {"f32": torch.float32, "i64": torch.int64}


def build(spec: ModelSpec, weights: str | Path | None = None) -> fx.GraphModule:
    """The torch module that a spec means, freshly initialised (torch's global seed decides), or with saved weights.

    `weights` is a safetensors file with our names; what the spec itself asks for is not looked at (`mmspec.weights.build` does).
    Raises SpecError; UserError: it does not fit into memory, or the weights are another model's.
    """
    module = build_graph(lower(spec))
    follow(module, averages(spec), keep=0.0)  # averages begin where they follow
    module.meta["spec"] = spec  # who loads published weights asks which node is what
    if weights is not None:
        load_state(module, weights)
    return module


def build_objectives(spec: ModelSpec) -> nn.Module:
    """The spec's losses: `(outputs, targets, progress=1.0)` -> each loss by name, and their `total`."""
    graph = lower_objectives(spec)
    return Objectives(graph)


class Objectives(nn.Module):
    """Losses by name from the outputs of a model in training and the targets of a batch. `progress`, from 0 to 1, is how much of
    the training is done, for those that change with it."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.inputs = tuple(value.name for value in graph.inputs)
        self.names = tuple(graph.outputs)
        self.losses = graph_module(graph)

    def forward(
        self, outputs: dict[str, torch.Tensor], targets: dict[str, torch.Tensor], progress: float = 1.0
    ) -> dict[str, torch.Tensor]:
        given = {**outputs, **{f"{name}_target": target for name, target in targets.items()}}
        if PROGRESS in self.inputs:
            given[PROGRESS] = torch.tensor(progress)
        if missing := [name.removesuffix("_target") for name in self.inputs if name not in given]:
            raise UserError(
                f"the losses ask for {', '.join(missing)}: a target, or an output of the model in training mode"
            )
        results = self.losses(*(given[name] for name in self.inputs))
        return dict(zip(self.names, results if isinstance(results, tuple) else (results,), strict=True))


def serving_form(spec: ModelSpec, state: Mapping[str, torch.Tensor]) -> fx.GraphModule:
    """The same model for inference alone, with these weights: what only training needs is gone, linear layers of one input are
    one matrix product, and products are computed by what is fastest without gradients. Its state dict has the same names, and it
    does not train.   Raises UserError."""
    module = build_graph(products_for_inference(join_projections(lower_serving(spec))), fresh=False)
    module.load_state_dict({name: state[name] for name in module.state_dict()})
    module.meta["spec"] = spec
    return module.eval().requires_grad_(False)


def build_graph(graph: Graph, fresh: bool = True, fits: bool = False) -> fx.GraphModule:
    """The module of a whole model's graph, with its parameters initialised as the graph says, or, where not `fresh`, with what
    happened to be in memory. `fits`: it is known to, as fake tensors do.   Raises UserError."""
    if not fits:
        check_memory(graph)
    graph = with_costs(graph)
    with _uncollected():
        with torch.device("meta"), _Uninitialised():
            module = graph_module(graph)
        drawing = Drawing()
        joined = _materialised(module)
        owners = dict(module.named_modules())
        for placed in parameters(graph):
            tensor = joined.get(placed.path)
            if tensor is None:
                tensor = torch.empty(placed.parameter.shape, dtype=DTYPES[placed.parameter.buffer or "f32"])
                owner, _, name = placed.path.rpartition(".")
                if placed.parameter.buffer:
                    owners[owner]._buffers[name] = tensor
                else:
                    owners[owner]._parameters[name] = nn.Parameter(tensor, placed.parameter.trainable)
            if fresh:
                drawing.fill(tensor, placed.parameter.init)
        drawing.finish()
        known: dict[Any, torch.Tensor] = {}
        for path, op in operations(graph, "constant"):
            table = op.attributes["table"], op.attributes["arguments"]
            if table not in known:
                known[table] = getattr(tables, table[0])(*table[1])
            owner, _, name = path.rpartition(".")
            owners[owner]._buffers[name] = known[table].clone()
        for path, op in operations(graph, "opaque"):
            owner, _, name = path.rpartition(".")
            owners[owner]._modules[name] = imported(path, op)
    return module


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage: what is made stays, and to look through all that a process holds can take longer than
    building."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _materialised(module: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of joined layers by the layers' own paths, as views of the whole in memory."""
    views: dict[str, torch.Tensor] = {}
    for path, child in module.named_modules():
        if isinstance(child, Projections):
            child.to_empty(device="cpu")
            scope = path.rpartition(".")[0]
            with torch.no_grad():
                if child.bias is not None:
                    child.bias.zero_()
                views |= {f"{scope}.{name}" if scope else name: view for name, view in child.layers().items()}
    return views


class _Uninitialised(TorchFunctionMode):
    """Layers come without their own initial values: ours follow, and torch's, on the meta device, would import its compiler."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if getattr(function, "__module__", "") == "torch.nn.init":
            return arguments[0] if arguments else keywords["tensor"]
        return function(*arguments, **(keywords or {}))


def check_memory(graph: Graph) -> None:
    """Raise UserError if the weights alone are more than the machine has."""
    count, available = parameter_count(graph), memory_bytes()
    if count * FLOAT_BYTES > available:
        raise UserError(
            f"{graph.doc or graph.name} has {count:,} parameters, {count * FLOAT_BYTES / 1e9:,.0f} GB of weights; this machine has "
            f"{available / 1e9:,.0f} GB, which would hold {available // FLOAT_BYTES:,} parameters without anything else. "
            "It can be validated, profiled and drawn here, not built; make it narrower or less deep"
        )


def memory_bytes() -> int:
    """Bytes of memory that the machine, or the container we run in, has."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return total


def load_state(module: nn.Module, path: str | Path, spare: Collection[str] = ()) -> None:
    """Load a safetensors file with our names, whole or not at all; it may have `spare` ones, which other forms of the model read.
    Raises UserError: every name that is missing or unused."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read weights from {path}: {error}") from error
    expected: dict[str, Any] = module.state_dict()
    problems = [f"  missing  {name}  {list(expected[name].shape)}" for name in expected.keys() - state.keys()]
    problems += [
        f"  unused   {name}  {list(state[name].shape)}" for name in state.keys() - expected.keys() - set(spare)
    ]
    problems += [
        f"  shape    {name}  {list(state[name].shape)} in the file, {list(expected[name].shape)} in the model"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    ]
    if problems:
        shown = sorted(problems)[:20]
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise UserError(f"{path} holds another model's weights:\n" + "\n".join(shown) + more)
    module.load_state_dict({name: state[name] for name in expected})
