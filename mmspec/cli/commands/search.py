"""mmspec search"""

from __future__ import annotations

import sys

import click

from mmspec.cli.options import json_option


@click.command
@click.argument("study", metavar="STUDY")
@click.option("-o", "--out", metavar="DIR", help="runs/<name> by default")
@click.option("--resume", is_flag=True, help="go on with the study in DIR, or begin it")
@click.option("--restart", is_flag=True, help="throw the study in DIR away first")
@click.option(
    "--workers", default=1, show_default=True, metavar="N", help="trainings at once, in processes of their own"
)
@json_option
def command(study: str, out: str | None, resume: bool, restart: bool, workers: int, as_json: bool) -> None:
    """Look for the best specs around one, within a budget: a Pareto front with plots, a report and trained models.

    STUDY is a file, or the name of a study that comes with mmspec. Ctrl-C loses nothing: --resume goes on.
    """
    if resume and restart:
        raise click.UsageError("--resume and --restart are opposites")
    from mmspec.cli.searching import watching
    from mmspec.study import search

    with watching() as watch:
        front = search(study, out, resume=resume, restart=restart, events=watch, workers=workers)
    if as_json:
        from mmspec.cli.entry import json_text
        from mmspec.study.tables import as_data

        click.echo(json_text(as_data(front)))
        return
    from mmspec.cli.ink import Ink
    from mmspec.cli.searching import front_lines

    ink = Ink(sys.stdout)
    click.echo("\n".join(front_lines(front, ink)), color=ink.coloured)
