"""From a spec to its graph, and from graph to graph.

A pass is a function `Graph -> Graph`: valid in, valid out, no options. A form is a tuple of passes; all forms of a graph have
the same names for the same parameters.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

from mmspec.ir import Graph
from mmspec.passes.drop_unused import drop_unused
from mmspec.passes.inference import products_for_inference
from mmspec.passes.lowering import lower_objectives, lower_plain
from mmspec.passes.projections import join_projections
from mmspec.passes.serving import drop_dropout, keep_inference_outputs
from mmspec.spec import ModelSpec

TRAINING = (
    drop_unused,  # components return all that they can; a model computes what somebody reads
)
SERVING = (
    keep_inference_outputs,  # first: what only training needs is unused after it
    drop_dropout,
    drop_unused,
)


def lower(spec: ModelSpec) -> Graph:
    """The graph of a spec, in the form that trains and, in evaluation mode, infers.   Raises SpecError, located."""
    return reduce(lambda graph, each: each(graph), TRAINING, lower_plain(spec))


def lower_serving(spec: ModelSpec) -> Graph:
    """The graph that answers: the heads, what the spec asks for, and where each sample left a stack that may halt."""
    policies: list[Any] = [getattr(node.component, "halting", None) for node in spec.nodes]
    owners = zip(spec.nodes, policies, strict=True)
    exits = [f"{getattr(policy, 'head', None) or node.name}.exit" for node, policy in owners if may_halt(policy)]
    return serving(lower(replace(spec, outputs=tuple(dict.fromkeys((*spec.outputs, *exits))))))


def may_halt(policy: Any) -> bool:
    """Whether samples leave a node with this policy before its end, at one of several exits."""
    return policy is not None and policy.type not in ("none", "by_stream")


def serving(graph: Graph) -> Graph:
    """The same model for inference only: what an exported file computes."""
    return reduce(lambda graph, each: each(graph), SERVING, graph)


__all__ = [
    "SERVING",
    "TRAINING",
    "drop_dropout",
    "drop_unused",
    "join_projections",
    "keep_inference_outputs",
    "lower",
    "lower_objectives",
    "lower_serving",
    "products_for_inference",
    "serving",
]
