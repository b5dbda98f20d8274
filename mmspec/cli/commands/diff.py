"""mmspec diff"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.options import changes, json_option, opened

if TYPE_CHECKING:
    from mmspec.cli.ink import Ink

FIGURES = {
    "parameters.total": "parameters",
    "parameters.active": "active parameters",
    "flops.total": "FLOPs",
    "memory.weights": "weights",
    "memory.peak_inference": "peak memory",
}


@click.command
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@changes
def command(first: str, second: str, as_json: bool, changes: tuple[str, ...], variant: str | None) -> None:
    """What differs between two specs, by path, and what that does to the price. --set and --variant change B.

    `mmspec diff fusion_gated fusion_gated --set fusion.joint.depth=4` prices a change.
    """
    from mmspec.cost import profile

    a, b = opened(first).require_closed(), opened(second, changes, variant).require_closed()
    before, after = leaves(a.resolved()), leaves(b.resolved())
    paths = [path for path in dict.fromkeys([*before, *after]) if before.get(path) != after.get(path)]
    prices = profile(a), profile(b)
    figures = {name: [price[name] for price in prices] for name in FIGURES}
    if as_json:
        from mmspec.cli.entry import json_text

        spec = {path: [before.get(path), after.get(path)] for path in paths}
        click.echo(json_text({"spec": spec, "price": figures}))
    else:
        _print(paths, before, after, figures)


def leaves(data: Any, prefix: str = "") -> dict[str, Any]:
    """Values by dotted path: {"fusion.joint.depth": 2}."""
    if isinstance(data, Mapping):
        items = list(data.items())
    elif isinstance(data, list) and any(isinstance(item, Mapping) for item in data):
        items = list(enumerate(data))
    else:
        return {prefix: data}
    return {k: v for key, item in items for k, v in leaves(item, f"{prefix}.{key}" if prefix else str(key)).items()}


def _print(paths: list[str], before: dict[str, Any], after: dict[str, Any], figures: dict[str, list[int]]) -> None:
    from mmspec.cli.ink import Ink
    from mmspec.cli.table import Column, lines

    ink = Ink(sys.stdout)
    if paths:
        columns = (Column("path"), Column("A"), Column("B"))
        rows = [(path, _said(before, path), _said(after, path)) for path in paths]
        click.echo("\n".join(lines(columns, rows, ink)) + "\n", color=ink.coloured)
    else:
        click.echo("the specs mean the same\n")
    click.echo("\n".join(_prices(figures, ink)), color=ink.coloured)


def _prices(figures: dict[str, list[int]], ink: Ink) -> list[str]:
    from mmspec.cli.table import Column, lines
    from mmspec.cost.quantities import quantity

    columns = (Column("price"), Column("A", right=True), Column("B", right=True), Column("B / A", right=True))
    rows = [
        (
            FIGURES[name],
            quantity(a, _unit(name)),
            quantity(b, _unit(name)),
            f"{b / a:.3f}" if a and b is not None else "",
        )
        for name, (a, b) in figures.items()
    ]
    return lines(columns, rows, ink)


def _unit(name: str) -> str:
    return "B" if name.startswith("memory") else ""


def _said(values: dict[str, Any], path: str) -> str:
    value = values.get(path, "")
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
