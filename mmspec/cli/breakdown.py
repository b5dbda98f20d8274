"""The bill in rows on a terminal, and the options that choose them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mmspec.errors import UserError

if TYPE_CHECKING:
    from mmspec.cli.ink import Ink
    from mmspec.cost import Profile
    from mmspec.cost.breakdown import Row
    from mmspec.cost.columns import Field

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class View:
    """Which rows of the bill, which columns, in which order; and the files it is written to."""

    depth: int | None = None
    by: str = "node"
    columns: tuple[str, ...] = ()
    sort: str = ""
    out: tuple[str, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether anything but the usual table is asked for."""
        return self.depth is not None or self.by != "node" or bool(self.columns or self.sort)

    def rows(self, price: Profile) -> list[Row]:
        """Raises   UserError: a depth below 1, a depth of groups, an unknown grouping or figure"""
        from mmspec.cost.breakdown import grouped, tree

        if self.by != "node":
            if self.depth is not None:
                raise UserError(f"--depth is of the tree of nodes, and --by {self.by} adds rows up: give one of them")
            return grouped(price, self.by, self.sort)
        return tree(price, self.depth or 1, self.sort)

    def fields(self, price: Profile) -> dict[str, Field]:
        """Raises   UserError: an unknown column; times without a device"""
        from mmspec.cost.columns import OF_GROUPS, USUAL, chosen

        if price.on is None and "time" in (*self.columns, self.sort):
            raise UserError("times are those of a device: give --device")
        usual = OF_GROUPS if self.by != "node" else (*USUAL, "backward") if price.step else USUAL
        return chosen(self.columns or (*usual, *(["time"] if price.on else [])))


OPTIONS = (
    click.option(
        "--depth", type=click.IntRange(1), metavar="N", help="what is inside nodes, too: 2 is their parts, and so on"
    ),
    click.option("--by", metavar="GROUP", default="node", help="add up by role, modality, stage, kind or class"),
    click.option("--columns", metavar="NAME,...", default="", help="of the table: parameters,flops,macs,bytes,..."),
    click.option(
        "--sort", metavar="COLUMN", default="", help="the largest first; the order of the data flow by default"
    ),
    click.option(
        "-o", "--out", multiple=True, metavar="FILE", help="write it to a .json, .csv, .md, .html or .trace.json file"
    ),
)


def takes_view(function: Function) -> Function:
    """`--depth`, `--by`, `--columns`, `--sort` and `-o`, as one argument `view`."""

    @wraps(function)
    def with_view(*, depth: int | None, by: str, columns: str, sort: str, out: tuple[str, ...], **rest: Any) -> Any:
        from mmspec.cli.files import ending_of

        for path in out:
            ending_of(path)  # a mistake is said before anything is priced
        names = tuple(name.strip() for name in columns.split(",") if name.strip())
        return function(view=View(depth, by, names, sort, out), **rest)

    result: Any = with_view
    for option in reversed(OPTIONS):
        result = option(result)
    return result  # type: ignore[no-any-return]


def table(price: Profile, view: View, ink: Ink) -> list[str]:
    """The rows, the total, and what the figures are; on a narrow terminal the last columns give way first."""
    from mmspec.cli.table import Column, lines
    from mmspec.cost.breakdown import total
    from mmspec.cost.columns import UNSUMMED

    rows, fields, whole = view.rows(price), view.fields(price), total(price)
    flops = whole.forward.flops
    kept = ("parameters", "flops", view.sort)
    columns = [Column(view.by)]
    for place, (name, field) in enumerate(fields.items(), 1):
        columns.append(Column(field.title, field.number, 0 if name in kept else place, name == "component"))
    cells = [
        ("  " * (row.level - 1) + row.label, *(field.text(row, flops) for field in fields.values())) for row in rows
    ]
    last = ("total", *("" if name in UNSUMMED else field.text(whole, flops) for name, field in fields.items()))
    return [*lines(columns, cells, ink, last), "", *_remarks(fields, view, price, ink)]


def _remarks(fields: dict[str, Field], view: View, price: Profile, ink: Ink) -> list[str]:
    said = ["FLOPs are 2 per multiply-add of linear, convolution and attention, of one pass with all exits"]
    if "backward" in fields:
        said.append("backward: FLOPs of the gradients, attention's scores computed once more")
    if "pointwise" in fields:
        said.append("pointwise: operations on single elements (activations, norms, sums), no FLOPs")
    if {"bytes", "read", "written", "intensity"} & set(fields):
        precision = price.on.roofline.precision if price.on else "float32"
        said.append(f"bytes: what each operation reads and writes, once, in {precision}")
    if "time" in fields and price.on:
        device = price.on.roofline.device.name
        said.append(f"op by op: the least on {device}, if each operation reads its inputs and writes its outputs")
    if view.by == "stage":
        said.append("a stage: what stands directly in a node; alike blocks of a stack together")
    return [line for text in said for line in ink.wrapped(text)]
