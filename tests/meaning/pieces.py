"""One body of operations as a torch module, without a spec around it."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from mmspec.backend import build_graph
from mmspec.ir import Graph, Scope, Value
from mmspec.ir.scope import Program

Dtypes = Mapping[str, str]


def graph_of(body: Callable[..., Any], limits: Mapping[str, int] | None = None, **shapes: Any) -> Graph:
    """The graph of `body(g, *values)`; a shape may be followed by a dtype: x=((2, 3), "bool"). The value `mask` is the mask of
    the value before it."""

    def nobody(name: str, like: Value) -> Value:
        raise AssertionError("no heads here")

    g = Scope("Piece", program=Program(nobody, limits=dict(limits or {})))
    values: list[Value] = []
    for name, said in shapes.items():
        shape, dtype = said if isinstance(said[-1], str) else (said, "f32")
        value = g.input(name, shape, dtype)
        if name == "mask":
            values[-1].mask = value
        else:
            values.append(value)
    returned = body(g, *values)
    named = returned if isinstance(returned, dict) else {"y": returned}
    return g.close(named, "", None, keep=g.inputs)


def piece(body: Callable[..., Any], limits: Mapping[str, int] | None = None, seed: int = 0, **shapes: Any) -> nn.Module:
    """Its module in evaluation mode, every parameter drawn from a normal distribution."""
    model = build_graph(graph_of(body, limits, **shapes)).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(generator=generator)
    return model
