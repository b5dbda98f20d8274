"""The form of a model that is deployed: what it answers, where each sample stopped, and nothing that only training needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from mmspec.backend import build_graph
from mmspec.deploy.subject import Subject
from mmspec.ir import Graph
from mmspec.passes import lower, serving
from mmspec.spec import ModelSpec


def serving_graph(spec: ModelSpec) -> Graph:
    """The serving form of a spec; its outputs are the heads, what the spec asks for, and the exits of halting stacks.

    {label} -> {label, label.exit}
    """
    policies: list[Any] = [getattr(node.component, "halting", None) for node in spec.nodes]
    exits = [f"{policy.head}.exit" for policy in policies if hasattr(policy, "head")]
    asked = dict.fromkeys((*spec.outputs, *exits))
    return serving(lower(replace(spec, outputs=tuple(asked))))


def serving_module(graph: Graph, subject: Subject) -> nn.Module:
    """The torch module of a serving graph, in evaluation, with the subject's weights and without gradients."""
    module = build_graph(graph)
    module.load_state_dict({name: subject.state[name] for name in module.state_dict()})
    return module.eval().requires_grad_(False)  # with gradients, torch.onnx loses the sizes inside a condition
