"""mmspec calibrate-device"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmspec.cli.options import json_option

if TYPE_CHECKING:
    from mmspec.cli.ink import Ink
    from mmspec.measuring.device import MeasuredDevice


@click.command
@click.option(
    "-o", "--out", metavar="FILE", help="write the device here; among what is known of this machine by default"
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="that compute together")
@click.option(
    "--seconds", default=20.0, show_default=True, type=click.FloatRange(0, 3600, min_open=True), help="to measure for"
)
@json_option
def command(out: str | None, threads: int, seconds: float, as_json: bool) -> None:
    """Measure what this machine can do: matrix products by type, memory, the least that an operation takes.

    The file is a device like any other: `mmspec profile SPEC --device FILE`. Without -o, `mmspec profile --measure` finds it.
    """
    from mmspec.cli.measuring import device_file
    from mmspec.cli.progress import steps
    from mmspec.files import located, write_atomically
    from mmspec.measuring.device import measure_device

    path = Path(out) if out else device_file(threads)
    if out is None:
        with located(path):
            path.parent.mkdir(parents=True, exist_ok=True)
    with steps() as say:
        found = measure_device(threads, seconds, say)
    write_atomically(path, found.to_yaml())
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(found.to_dict() | {"file": str(path)}))
        return
    from mmspec.cli.ink import Ink

    ink = Ink(sys.stdout)
    click.echo("\n".join(_lines(found, ink)), color=ink.coloured)
    click.echo(f"  wrote {path}")


def _lines(found: MeasuredDevice, ink: Ink) -> list[str]:
    from mmspec.cli.table import Column, lines
    from mmspec.measuring.times import WIDEST

    columns = [Column(""), Column("at most", right=True), Column("by"), Column("spread", right=True)]
    roofs = [
        ("memory", found.bandwidth, 1e9, "GB/s"),
        *((name, roof, 1e9, "GFLOP/s") for name, roof in found.peaks.items()),
    ]
    rows = [
        [name, f"{roof.best / size:,.1f} {unit}", roof.way, "" if roof.spread is None else f"{roof.spread:.1%}"]
        for name, roof, size, unit in roofs
    ]
    text = ["", f"{ink.bold(found.name)}   {ink.dim(str(found.machine))}", "", *lines(columns, rows, ink), ""]
    least = found.overhead
    text += ink.wrapped(
        f"the least that anything takes: an operation {least['operation'].said}, entering a module {least['module'].said}; "
        f"memory {found.memory / 1e9:.1f} GB, last cache {found.cache / 1e6:.1f} MB; each figure is the best of all tried"
    )
    for name, why in found.absent.items():
        text += ink.wrapped(f"{name}: {why}", "note:")
    wide = [name for name, roof, _, _ in roofs if roof.spread is not None and roof.spread > WIDEST]
    if wide:
        said = f"{', '.join(wide)} varied by more than {WIDEST:.0%}: the machine is busy, and does more when it is not"
        text += ink.wrapped(said, "note:")
    return text
