"""mmspec diff"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.options import changes, json_option, opened
from mmspec.errors import UserError

if TYPE_CHECKING:
    from mmspec.cli.ink import Ink
    from mmspec.cost import Profile
    from mmspec.cost.comparison import Comparison
    from mmspec.spec import ModelSpec

FIGURES = {
    "parameters.total": "parameters",
    "parameters.active": "active parameters",
    "flops.total": "FLOPs",
    "flops.expected": "expected FLOPs",
    "backward.flops": "backward FLOPs",
    "forward.pointwise": "pointwise",
    "memory.weights": "weights",
    "memory.activations": "activations",
    "memory.peak_inference": "peak memory",
    "memory.peak_training": "peak in training",
}


@click.command
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@click.option("--depth", type=click.IntRange(1), default=1, metavar="N", help="compare what is inside nodes, too")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="samples at once; 1, or a profile's own")
@changes
def command(
    first: str, second: str, as_json: bool, depth: int, batch: int | None, changes: tuple[str, ...], variant: str | None
) -> None:
    """What differs between two specs, by path, and what that does to the price, node by node. --set and --variant change B.

    `mmspec diff fusion_gated fusion_gated --set fusion.joint.depth=4` prices a change. A and B may also be profiles that were
    written to a .json file (mmspec profile SPEC -o before.json); a spec beside one is priced at its sizes. A folder stands for the
    spec.yaml in it: `mmspec diff runs/x/front/0 runs/x/front/3` compares two members of a front.
    """
    from mmspec.cost.comparison import compare

    a, b = _side(first), _side(second, changes, variant)
    known = [side for side in (a, b) if isinstance(side, dict)]
    if batch is not None and known:
        raise UserError("--batch is for specs: a profile in a file is of the batch that it was made with")
    prices = [
        side if isinstance(side, dict) else _price(side, batch, known[0]["sizes"] if known else {}) for side in (a, b)
    ]
    plain = [price if isinstance(price, dict) else price.to_dict(depth) for price in prices]
    found = compare(plain[0], plain[1], depth)
    before, after = (leaves(side.resolved()) if not isinstance(side, dict) else {} for side in (a, b))
    paths = (
        [path for path in dict.fromkeys([*before, *after]) if before.get(path) != after.get(path)] if not known else []
    )
    if as_json:
        from mmspec.cli.entry import json_text

        spec = {path: [before.get(path), after.get(path)] for path in paths}
        click.echo(json_text({"spec": None if known else spec, **found.to_dict()}))
        return
    from mmspec.cli.ink import Ink

    ink = Ink(sys.stdout)
    text = _specs(paths, before, after, ink) if not known else []
    click.echo("\n".join([*text, *_whole(found, ink), *_nodes(found, ink)]), color=ink.coloured)


def _side(path: str, changes: tuple[str, ...] = (), variant: str | None = None) -> ModelSpec | dict[str, Any]:
    """A spec, or a stored profile as plain data."""
    from mmspec.cost.stored import is_stored, stored

    if (inside := Path(path) / "spec.yaml").is_file():
        path = str(inside)
    if not is_stored(path):
        return opened(path, changes, variant).require_closed()
    if changes or variant:
        raise UserError(f"--set and --variant change B, and {path} is a profile: it has no spec to change")
    return stored(path)


def _price(spec: ModelSpec, batch: int | None, sizes: Mapping[str, int]) -> Profile:
    """At a stored profile's sizes, as far as the spec has them."""
    from mmspec.cost import profile
    from mmspec.passes import lower

    graph = lower(spec)
    lengths: dict[str, Any] = {name: min(sizes.get(name, most), most) for name, most in graph.limits.items()}
    return profile(spec, batch or sizes.get("B", 1), graph=graph, **lengths)


def leaves(data: Any, prefix: str = "") -> dict[str, Any]:
    """Values by dotted path: {"fusion.joint.depth": 2}."""
    if isinstance(data, Mapping):
        items = list(data.items())
    elif isinstance(data, list) and any(isinstance(item, Mapping) for item in data):
        items = list(enumerate(data))
    else:
        return {prefix: data}
    return {k: v for key, item in items for k, v in leaves(item, f"{prefix}.{key}" if prefix else str(key)).items()}


def _specs(paths: list[str], before: dict[str, Any], after: dict[str, Any], ink: Ink) -> list[str]:
    from mmspec.cli.table import Column, lines

    if not paths:
        return ["the specs mean the same", ""]
    rows = [(path, _said(before, path), _said(after, path)) for path in paths]
    return [*lines((Column("path"), Column("A"), Column("B")), rows, ink), ""]


def _whole(found: Comparison, ink: Ink) -> list[str]:
    """The model's figures; sizes first where the two were priced at different ones."""
    from mmspec.cli.table import Column, lines

    columns = (Column("price"), Column("A", right=True), Column("B", right=True), Column("B / A", right=True))
    rows = [(f"size {name}", *map(_size, pair), "") for name, pair in found.sizes.items()]
    for name, (a, b) in found.figures.items():
        if a is not None or b is not None:
            rows.append((FIGURES[name], _amount(name, a), _amount(name, b), _ratio(a, b)))
    return lines(columns, rows, ink)


OF_NODES = {
    "parameters": "parameters",
    "flops": "FLOPs",
    "memory.weights": "weights",
    "memory.activations": "activations",
}


def _nodes(found: Comparison, ink: Ink) -> list[str]:
    """What is not the same, a row for each figure that differs."""
    from mmspec.cli.table import Column, lines

    rows: list[tuple[str, ...]] = []
    for node in found.nodes:
        if node.what == "same":
            continue
        said, (before, after) = node.path, node.component
        if before != after and before is not None and after is not None:
            rows.append((said, "component", before, after, ""))
            said = ""
        for name, title in OF_NODES.items():
            a, b = node.figures.get(name, (None, None))
            if a != b and (a or b):
                rows.append((said, title, _amount(name, a), _amount(name, b), _ratio(a, b)))
                said = ""
        if said:
            rows.append((said, node.what, before or NOTHING, after or NOTHING, ""))
    same = [node.path for node in found.nodes if node.what == "same"]
    rest = f"the same: {', '.join(same[:SHOWN])}{f' and {len(same) - SHOWN} more' if len(same) > SHOWN else ''}"
    if not rows:
        return ["", *ink.wrapped("every node costs the same")]
    columns = (
        Column("node"),
        Column("of it"),
        Column("A", right=True),
        Column("B", right=True),
        Column("B / A", right=True),
    )
    return ["", *lines(columns, rows, ink), *(ink.wrapped(rest) if same else [])]


NOTHING = "-"
SHOWN = 8  # nodes that are the same


def _amount(name: str, value: float | None) -> str:
    from mmspec.cost.quantities import quantity

    return NOTHING if value is None else quantity(value, "B" if name.startswith("memory") else "")


def _size(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _ratio(a: float | None, b: float | None) -> str:
    return f"{b / a:.3f}" if a and b is not None else ""


def _said(values: dict[str, Any], path: str) -> str:
    value = values.get(path, "")
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
