"""Bytes of activations at inference in other precisions than float32, or with attention that is not fused."""

from __future__ import annotations

from collections.abc import Mapping

from mmspec.cost.budgets import with_costs
from mmspec.cost.flops import Sizes
from mmspec.cost.rehearsal import BF16, Meter, Model, NoRule, examples, outputs_of, rehearsing
from mmspec.cost.rehearsal.state import set_for_a_while
from mmspec.cost.step import Step
from mmspec.cost.training import modes
from mmspec.ir import Graph


def activations(graph: Graph, sizes: Mapping[str, int], step: Step, watched: bool = False) -> int | None:
    """The most bytes that live at once beside weights and inputs, with the precision and the attention of a step; stacks that may
    halt and loops with every sample going on to the end. None where some operation has no rule.

    watched  as torch does it under a dispatch mode, where it does less in place
    """
    meter, lower = Meter(), step.precision == "bf16-autocast"
    with rehearsing(meter, **(modes(step) | {"watched": watched, "training": False, "gradients": False})):
        model = Model(with_costs(graph))
        inputs = examples(graph.inputs, Sizes(sizes), "inputs")
        before = meter.now
        meter.forget()
        try:
            with set_for_a_while(autocast=BF16 if lower else None, casts={} if lower else None, phase="forward"):
                outputs_of(model, inputs)
        except NoRule:
            return None
        return meter.peak - before
