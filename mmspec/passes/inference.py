"""Matrix products of a model that does not train."""

from __future__ import annotations

from dataclasses import replace

from mmspec.ir import Graph


def products_for_inference(graph: Graph) -> Graph:
    """Before: linear layers and products with a table, which may train.   After: the same with the same parameters, in every scope,
    computed by what is fastest where no gradient is asked for."""
    ops = tuple(
        replace(
            op,
            kind=f"inference_{op.kind}" if op.kind in ("linear", "project") else op.kind,
            bodies=tuple(map(products_for_inference, op.bodies)),
        )
        for op in graph.ops
    )
    return replace(graph, ops=ops)
