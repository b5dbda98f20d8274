"""mmspec diagnose"""

from __future__ import annotations

import sys

import click

from mmspec.cli.options import json_option


@click.command
@click.argument("folder", metavar="FOLDER")
@click.option("--data", metavar="DATA", help="as for train; by default what the model was trained on")
@click.option(
    "--split",
    type=click.Choice(["validation", "test"]),
    default="validation",
    show_default=True,
    help="what to look at it on",
)
@click.option("-o", "--out", metavar="DIR", help="where the page and its figures go; by default into FOLDER")
@json_option
def command(folder: str, data: str | None, split: str, out: str | None, as_json: bool) -> None:
    """Look into a trained model: where samples leave, what experts see, whether gates still weigh. A page, and JSON."""
    from mmspec.training import diagnose
    from mmspec.training.diagnostics import FIGURES, PAGE, SECTIONS

    done = diagnose(folder, data=data, split=split, out=out)
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(done.report))
        return
    from mmspec.cli.ink import Ink
    from mmspec.cli.table import Column, lines

    ink = Ink(sys.stdout)
    rows = []
    for section in SECTIONS:
        why = done.report["sections"][section.name]["why"]
        rows.append((section.title, "on the page" if why is None else why))
    click.echo("\n".join(lines((Column("question"), Column("answer", dim=True)), rows, ink)), color=ink.coloured)
    click.echo(f"\n  wrote {done.folder}: {PAGE} {FIGURES}")
