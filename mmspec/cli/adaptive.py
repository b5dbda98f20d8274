"""What a model computes only for some: its exits and its experts, as the tables below a price. What is not known is n/a."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from mmspec.cli.ink import Ink
from mmspec.cli.table import Column, lines
from mmspec.cost.quantities import quantity, share

if TYPE_CHECKING:
    from mmspec.cost import NodePrice, Profile
    from mmspec.cost.routing import ExpertsPrice

UNKNOWN = "n/a"
EXPERTS = (
    Column("experts"),
    Column("each token", right=True),
    Column("each has", right=True, give=2),
    Column("max/mean load", right=True),
    Column("touched", right=True),
    Column("weights read", right=True, give=1),
)


def tables(price: Profile, ink: Ink) -> list[str]:
    """A table for each stack that may be left early, one for all layers of experts; each with a line that says what is meant."""
    text: list[str] = []
    for node in price.nodes:
        if node.exits and not price.lacks("flops"):
            text += ["", *_exits(price, node, ink)]
    if price.experts:
        text += ["", *_experts(price, ink)]
    return text


def _exits(price: Profile, node: NodePrice, ink: Ink) -> Iterator[str]:
    """What the whole model computes for a batch that leaves at each exit, and on average; other stacks run to their end."""
    total, batch = price["flops.total"], price.sizes["B"]
    rest = total - node.exits[-1]
    columns = (
        Column(f"{node.name} left after"), Column("FLOPs", right=True), Column("of all", right=True), Column("samples", right=True),
    )  # fmt: skip
    rates = node.rates or (None,) * len(node.exits)
    rows = [
        (
            f"block {number}" if number < len(node.exits) else f"block {number}, the last",
            quantity(rest + spent),
            share(rest + spent, total),
            UNKNOWN if rate is None else share(rate, 1),
        )
        for number, (spent, rate) in enumerate(zip(node.exits, rates, strict=True), 1)
    ]
    if node.rates is None:
        yield from lines(columns, [*rows, ("on average", UNKNOWN, "", "")], ink)
        return
    mean = rest + sum(rate * spent for rate, spent in zip(node.rates, node.exits, strict=True))
    rows.append(("on average", quantity(mean), share(mean, total), node.source or ""))
    if batch > 1:
        from mmspec.cost.halting import last_of

        whole = rest + sum(q * spent for q, spent in zip(last_of(node.rates, batch), node.exits, strict=True))
        rows.append((f"the last of {batch}", quantity(whole), share(whole, total), "if none is dropped"))
    yield from lines(columns, rows, ink)


def _experts(price: Profile, ink: Ink) -> Iterator[str]:
    """Layers with the same figures share a row."""
    rows = []
    for cells, group in groupby(price.experts, key=_cells):
        layers = [layer.module for layer in group]
        rows.append((_named(layers), *cells))
    yield from lines(EXPERTS, rows, ink)
    tokens = price.experts[0].tokens
    if any(layer.touched is None for layer in price.experts):
        yield from ink.wrapped(
            f"{tokens:,} tokens at once; \u2264: with even loads, which touch the most; {UNKNOWN}: {price.unknown['experts']}"
        )
    else:
        sources = " and ".join(dict.fromkeys(layer.source or "" for layer in price.experts))
        yield from ink.wrapped(f"{tokens:,} tokens at once; loads are {sources}")


def _cells(layer: ExpertsPrice) -> tuple[str, ...]:
    figures = layer.to_dict()
    touched, moved = figures["touched"], figures["weight_bytes"]
    known = touched["expected"] is not None
    which, most = ("expected", "") if known else ("even_load", "\u2264 ")
    sizes = sorted(set(layer.parameters))
    return (
        f"{layer.k} of {layer.count}",
        quantity(sizes[0]) if len(sizes) == 1 else f"{quantity(sizes[0])} to {quantity(sizes[-1])}",
        UNKNOWN if layer.imbalance is None else f"{layer.imbalance:.2f}",
        f"{most}{touched[which]:.2f}",
        f"{most}{quantity(moved[which], 'B')}",
    )


def _named(modules: Sequence[str]) -> str:
    """joint.blocks.0.feed_forward, or joint.blocks.0-31.feed_forward for a row of them."""
    first, last = (module.removesuffix(".experts") for module in (modules[0], modules[-1]))
    if first == last:
        return first
    numbers = [re.findall(r"\d+", name) for name in (first, last)]
    different = [i for i, (a, b) in enumerate(zip(*numbers, strict=False)) if a != b]
    if re.sub(r"\d+", "*", first) != re.sub(r"\d+", "*", last) or len(different) != 1:
        return f"{first} to {last}"
    place = list(re.finditer(r"\d+", first))[different[0]]
    return f"{first[: place.end()]}-{numbers[1][different[0]]}{first[place.end() :]}"
