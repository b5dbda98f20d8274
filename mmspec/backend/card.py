"""What a run takes of a GPU's memory, by torch's own account: the truth that the simulated allocator is held to."""

from __future__ import annotations

import torch
from torch import nn

from mmspec.backend.build import build_graph, build_objectives
from mmspec.backend.exact import examples, summed, targets
from mmspec.backend.priced import as_priced
from mmspec.cost.allocator import Reserved
from mmspec.cost.flops import Sizes
from mmspec.errors import UserError
from mmspec.ir import Graph
from mmspec.passes import lower
from mmspec.spec import ModelSpec


def on_card(spec: ModelSpec, sizes: Sizes, train: bool = False, graph: Graph | None = None) -> Reserved | None:
    """Peaks of a run on a GPU, weights included, by torch's allocator; None without a GPU, or where it fits neither on it nor into
    the machine."""
    if not torch.cuda.is_available():
        return None
    graph = graph or lower(spec)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    try:
        model = build_graph(graph).train(train).to("cuda")
        with as_priced(model, graph, sizes):
            _run(spec, model, graph, sizes, train)
    except (torch.cuda.OutOfMemoryError, UserError):
        return None
    allocated = torch.cuda.max_memory_allocated() - before
    return Reserved(allocated, allocated, torch.cuda.max_memory_reserved() - reserved)


def _run(spec: ModelSpec, model: nn.Module, graph: Graph, sizes: Sizes, train: bool) -> None:
    inputs = examples(graph.inputs, sizes, "cuda")
    if not train:
        with torch.no_grad():
            model(**inputs)
        return
    losses = build_objectives(spec).to("cuda") if spec.objectives else None
    asked = targets(spec, sizes, "cuda")
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    for _ in range(2):  # the second finds what the optimizer remembers
        outputs = model(**inputs)
        total = summed(outputs) if losses is None else losses(outputs, asked)["total"]
        del outputs
        total.backward()
        del total
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
