"""The price of a spec as a table: what `build` and `profile` print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mmspec.cli.adaptive import tables
from mmspec.cli.ink import Ink
from mmspec.cli.table import Column, lines
from mmspec.cli.training import training_lines
from mmspec.cost.quantities import quantity, share

if TYPE_CHECKING:
    from mmspec.cost import Profile
    from mmspec.ir import Graph
    from mmspec.spec import ModelSpec

BATCH = "B"

COLUMNS = (
    Column("node"),
    Column("component", give=3, dim=True),
    Column("output", give=2),
    Column("parameters", right=True),
    Column("active", right=True, give=4),
    Column("FLOPs", right=True),
    Column("share", right=True, give=1),
)


def table(spec: ModelSpec, graph: Graph, price: Profile, ink: Ink) -> list[str]:
    """Title, a row for each node in the order of the data flow, the total, and what the figures mean."""
    flops = price["flops.total"]
    order = {node.name: i for i, node in enumerate(spec.nodes)}
    rows = [
        (
            node["name"],
            node["type"],
            node["output"],
            _number(node["parameters"]),
            _number(node["active"]),
            quantity(node["flops"]),
            share(node["flops"], flops) if flops is not None and node["flops"] is not None else "",
        )
        for node in sorted(price["nodes"], key=lambda node: order[node["name"]])
    ]
    total = (
        "total", "", "", _number(price["parameters.total"]), _number(price["parameters.active"]), quantity(flops), "",
    )  # fmt: skip
    title = f"{ink.bold(spec.name)}   {ink.dim(f'{_inputs(graph, price.sizes)}, batch {price.sizes[BATCH]}')}"
    trained = [] if price.training is None or price.step is None else training_lines(price.training, price.step, ink)
    return [title, "", *lines(COLUMNS, rows, ink, total), *tables(price, ink), *trained, "", *_remarks(price, ink)]


def _remarks(price: Profile, ink: Ink) -> list[str]:
    expected = price["flops.expected"]
    halting = any(node.exits for node in price.nodes)
    flops = "FLOPs are 2 per multiply-add of linear, convolution and attention" + (", all exits" if halting else "")
    text = ink.wrapped(flops)
    if halting and expected is None:
        text += ink.wrapped(f"expected under halting: unknown ({price.unknown['flops.expected']})")
    elif halting:
        part = share(expected, price["flops.total"])
        least, whole = quantity(price["flops.minimum"]), quantity(price["flops.expected_uncompacted"])
        text += ink.wrapped(
            f"expected under halting: {quantity(expected, 'FLOPs')}, {part} of all exits; at least {least}"
            + (f"; {whole} if a batch runs to its last sample" if price.sizes[BATCH] > 1 else "")
        )
    weights, peak = price["memory.weights"], price["memory.peak_inference"]
    most = "unknown" if peak is None else f"at most {quantity(peak, 'B')}"
    precision = "float32" if price.precision == "fp32" else price.precision
    text += ink.wrapped(f"memory: weights {quantity(weights, 'B')}, {most} at inference ({precision})")
    if (writing := price.decoding) is not None:
        text += ink.wrapped(
            f"writing: one more token at {writing.tokens:,} takes {quantity(writing.work.flops, 'FLOPs')} and reads "
            f"{quantity(writing.work.read, 'B')}; {quantity(writing.cache + writing.context, 'B')} of keys and values are kept, "
            f"{quantity(writing.per_token, 'B')} more with each token (float32)"
        )
    for hole in price.holes:
        text += ink.wrapped(f"{hole}; known are {quantity(price['flops.known'], 'FLOPs')} of the rest", "note:")
    for note in price["notes"]:
        text += ink.wrapped(note, "note:")
    return text


def _number(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _inputs(graph: Graph, priced: Mapping[str, int]) -> str:
    """image 3x32x32, text up to 24 tokens, target of 8 tokens"""
    said = []
    for value in graph.inputs:
        if value.dtype == "bool":
            continue
        open_size = next((str(dim) for dim in value.shape if str(dim) in graph.limits), None)
        if open_size is None:
            said.append(f"{value.name} {'x'.join(str(dim) for dim in value.shape[1:])}")
        else:
            length = priced[open_size]
            said.append(f"{value.name} {'up to' if length == graph.limits[open_size] else 'of'} {length} tokens")
    return ", ".join(said)
