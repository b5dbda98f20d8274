"""mmspec devices"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mmspec.cli.options import json_option
from mmspec.cli.table import Column, lines

if TYPE_CHECKING:
    from mmspec.cli.ink import Ink
    from mmspec.cost.devices import Device

SHOWN = ("fp32", "tf32", "bf16", "fp16", "fp8", "int8")
FIGURES = {
    "memory_gb": "memory, GB", "bandwidth_gb_s": "bandwidth, GB/s", "cache_mb": "last cache, MB", "watts": "power, W",
    "held_back_gb": "held back, GB",
}  # fmt: skip


@click.command
@click.argument("name", metavar="[DEVICE]", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """What devices can do at most, all of them or one with the source of each figure.

    DEVICE is a name from the list, or a file of your own (docs/devices.md): memory, bandwidth, peaks.
    """
    from mmspec.cost.devices import device, devices

    found = [device(name)] if name is not None else list(devices().values())
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text([each.to_dict() for each in found] if name is None else found[0].to_dict()))
        return
    from mmspec.cli.ink import Ink

    ink = Ink(sys.stdout)
    click.echo("\n".join(_table(found, ink) if name is None else _sheet(found[0], ink)), color=ink.coloured)


def _table(found: list[Device], ink: Ink) -> list[str]:
    columns = (
        Column("device"),
        Column("GB", right=True),
        Column("GB/s", right=True),
        *(Column(precision, right=True, give=5 if precision == "fp16" else 0) for precision in SHOWN),
        Column("name", give=6, dim=True),
    )
    rows = [
        (
            each.key,
            f"{each.figures['memory_gb'].value:g}",
            f"{each.figures['bandwidth_gb_s'].value:,g}",
            *(_peak(each, precision) for precision in SHOWN),
            each.name,
        )
        for each in found
    ]
    return [
        *lines(columns, rows, ink),
        "",
        *ink.wrapped(
            "peaks are dense, 1e12 operations per second, 2 per multiply-add; - has no unit for it, ? not published"
        ),
        ink.dim("\nmmspec devices DEVICE gives the source of each figure"),
    ]


def _peak(device: Device, precision: str) -> str:
    if precision in device.peaks:
        return f"{device.peaks[precision].value:,.4g}"
    return "?" if precision in device.unknown else "-"


def _sheet(device: Device, ink: Ink) -> list[str]:
    """Figures, each with the number of its source; the sources below."""
    figures = [(FIGURES[key], device.figures[key]) for key in FIGURES if key in device.figures]
    unit = {"int8": "TOP/s", "int4": "TOP/s"}
    figures += [(f"{name}, {unit.get(name, 'TFLOP/s')}", peak) for name, peak in device.peaks.items()]
    sources = list(dict.fromkeys(figure.source for _, figure in figures))
    rows = [
        (
            title,
            f"{figure.value:,g}",
            "" if figure.sparse is None else f"{figure.sparse:,g}",
            f"[{sources.index(figure.source) + 1}]",
            "; ".join(part for part in (figure.derived, figure.note) if part),
        )
        for title, figure in figures
    ]
    columns = (
        Column("figure"),
        Column("dense", right=True),
        Column("sparse", right=True, give=1),
        Column("source"),
        Column("how", give=2, dim=True),
    )
    named = f"also {', '.join(device.aliases)}" if device.aliases else ""
    text = [f"{ink.bold(device.name)}   {ink.dim(named)}".rstrip(), "", *lines(columns, rows, ink), ""]
    for precision, why in device.absent.items():
        text += ink.wrapped(f"no {precision}: {why}")
    for precision, why in device.unknown.items():
        text += ink.wrapped(f"{precision} is not known: {why}")
    for number, source in enumerate(sources, 1):
        text += ink.wrapped(f"[{number}] {source}")
    return text
