"""`mmspec profile --symbolic`: the price of a spec as formulas, for a person and as data."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.ink import Ink
from mmspec.cli.table import Column, lines
from mmspec.cost.quantities import quantity, share
from mmspec.cost.symbolic import spacing, written
from mmspec.cost.terms import Names, along, families, growth, largest

if TYPE_CHECKING:
    from mmspec.cost.formulas import Symbol
    from mmspec.cost.symbolic import SymbolicProfile

SIZES = (Column("size"), Column("here", right=True), Column("is", dim=True), Column("formulas hold for"))
TERMS = (Column(""), Column("here", right=True), Column("share", right=True), Column("formula"), Column("grows with"))
MEMORY = ("memory.weights", "memory.activations")
SAID = {
    "attention": "attention products",
    "linear": "linear layers",
    "convolution": "convolutions",
    "experts": "experts",
}


def say(price: SymbolicProfile, as_json: bool) -> None:
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(as_data(price)))
        return
    ink = Ink(sys.stdout)
    click.echo("\n".join(pages(price, ink)), color=ink.coloured)


def pages(price: SymbolicProfile, ink: Ink) -> list[str]:
    """Sizes, FLOPs by class and by node, which class is the largest where, parameters and memory."""
    names = Names(price)
    rows = [
        (size.name, f"{size.value:,}", size.meaning, _holds(price, "flops.total", size.name)) for size in price.symbols
    ]
    values = names.values()
    rows += [(name, f"{values[name]:,}", said, "") for name, said in names.definitions().items()]
    text = [f"{ink.bold(price.spec.name)}   {ink.dim('its price in formulas')}", "", *lines(SIZES, rows, ink, None), ""]

    def row(label: str, figure: str, whole: int | None = None) -> tuple[str, ...]:
        dim, value = price.base.figures[figure], price.value(figure)
        part = share(value, whole) if whole is not None else ""
        here = quantity(value, "B") if figure.startswith("memory.") else f"{value:,}"
        return label, here, part, names.text(dim), _growth(price, dim)

    flops = price.value("flops.total")
    nodes = [f for f, dim in price.base.figures.items() if f.startswith("flops.nodes.") and dim != 0]
    text += lines(
        TERMS,
        [
            *(row(SAID[family], f"flops.{family}", flops) for family in families(price)),
            *(row(f"{figure.removeprefix('flops.nodes.')}", figure, flops) for figure in nodes),
        ],
        ink,
        row("FLOPs", "flops.total"),
    )
    text += ["", *dominance(price, ink), ""]
    text += lines(TERMS[:2] + TERMS[3:], [_without_share(row("parameters", "parameters.total"))] + [
        _without_share(row(figure.removeprefix("memory."), figure)) for figure in MEMORY
    ], ink, _without_share(row("memory", "memory.peak_inference")))  # fmt: skip
    text += ["", *_peaks(price, names, ink)]
    text += ink.wrapped(
        "divisions are of integers: floor rounds down, ceil up; FLOPs are 2 per multiply-add, memory in bytes"
    )
    for note in price.notes:
        text += ink.wrapped(note, "note:")
    return text


def dominance(price: SymbolicProfile, ink: Ink) -> list[str]:
    """attention products overtake linear layers from S = 1,088 on"""
    found = []
    for size in price.symbols:
        stretches = largest(price, size.name)
        for (_, before), (start, after) in pairwise(stretches):
            found += ink.wrapped(f"{SAID[after]} overtake {SAID[before]} from {size.name} = {start:,} on")
    if not found and (terms := families(price)):
        first = max(terms, key=lambda family: price.value(f"flops.{family}"))
        found = ink.wrapped(f"{SAID[first]} cost the most at every size")
    return found


def as_data(price: SymbolicProfile) -> dict[str, Any]:
    """The same for JSON: formulas as text that sympy reads (`**`, `floor`, `ceiling`, `Max`), numbers as exact integers."""
    return {
        "schema": 1,
        "name": price.spec.name,
        "symbols": [
            {"name": s.name, "meaning": s.meaning, "path": s.path or None, "value": s.value, "most": s.most}
            for s in price.symbols
        ],
        "figures": {figure: _figure(price, figure) for figure in price.base.figures},
        "largest": {
            size.name: [{"from": start, "term": f"flops.{family}"} for start, family in largest(price, size.name)]
            for size in price.symbols
        },
        "peaks": {size.name: _stretches(price, size.name) for size in price.symbols if _followed(size)},
        "notes": list(price.notes),
    }


def _stretches(price: SymbolicProfile, name: str) -> list[dict[str, Any]]:
    found = along(price, "memory.activations", name)
    return [{"from": part.least, "to": part.most, "formula": written(part.formula)} for part in found]


def _followed(size: Symbol) -> bool:
    """Whether the peak is looked at along it: what comes in, rather than what the model is made of."""
    return not size.path or size.path.startswith("inputs.")


def _figure(price: SymbolicProfile, figure: str) -> dict[str, Any]:
    asked = [condition for condition in price.base.of(figure) if len(condition.symbols) > 1 or condition.division]
    ranges = {size.name: list(price.range(figure, size.name)) for size in price.symbols}
    said = [written(condition) for condition in asked]
    return {
        "formula": written(price.base.figures[figure]), "value": price.value(figure), "conditions": list(dict.fromkeys(said)),
        "range": ranges, "growth": {s.name: growth(price.base.figures[figure], s.name) for s in price.symbols},
    }  # fmt: skip


def _holds(price: SymbolicProfile, figure: str, name: str) -> str:
    least, most = price.range(figure, name)
    step, rest = spacing(price, name)
    first = least + (rest - least) % step
    if first - step == price[name].value and name in price.base.besides:
        first -= step
    said = f"from {first:,}" + (f" to {most:,}" if most is not None else "")
    if step > 1:
        said += f", {name} mod {step} = {rest}"
    asked = [c for c in price.base.of(figure) if name in c.symbols and (division := c.division) is not None
             and (c.relation == "!=" or not isinstance(division[1], int))]  # fmt: skip
    return ", ".join((said, *dict.fromkeys(map(str, asked))))


def _growth(price: SymbolicProfile, dim: Any) -> str:
    powers = ((size.name, growth(dim, size.name)) for size in price.symbols)
    return ", ".join(name if power == 1 else f"{name}^{power}" for name, power in powers if power)


def _without_share(row: tuple[str, ...]) -> tuple[str, ...]:
    return (*row[:2], *row[3:])


def _peaks(price: SymbolicProfile, names: Names, ink: Ink) -> list[str]:
    """Where other activations are the most that live at once."""
    found: list[str] = []
    for size in price.symbols:
        stretches = along(price, "memory.activations", size.name) if _followed(size) else ()
        for stretch in stretches if len(stretches) > 1 else ():
            most = f" to {stretch.most:,}" if stretch.most else " on"
            own = stretch.formula == price.base.figures["memory.activations"]
            text = "as above" if own else names.text(stretch.formula)
            found += ink.wrapped(f"activations from {size.name} = {stretch.least:,}{most}, the others as here: {text}")
    return found
