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
@click.option("--dry-run", is_flag=True, help="print the space, its costs and the first points, and train nothing")
@click.option(
    "--executor", type=click.Choice(["processes", "ray"]), default="processes", show_default=True, help="who trains"
)
@click.option("--storage", metavar="URL", help="keep the study in this PostgreSQL database, instead of a file in DIR")
@click.option(
    "--worker", is_flag=True, help="be one of many hosts of a study: train for it, and coordinate it if nobody does"
)
@click.option(
    "--lease",
    type=float,
    metavar="SECONDS",
    help="of silence after which a host's trainings go to others  [default: 60]",
)
@json_option
def command(
    study: str,
    out: str | None,
    resume: bool,
    restart: bool,
    workers: int,
    dry_run: bool,
    executor: str,
    storage: str | None,
    worker: bool,
    lease: float | None,
    as_json: bool,
) -> None:
    """Look for the best specs around one, within a budget: a Pareto front with plots, a report and trained models.

    STUDY is a file, or the name of a study that comes with mmspec. Ctrl-C loses nothing: --resume goes on.
    """
    if resume and restart:
        raise click.UsageError("--resume and --restart are opposites")
    if worker and storage is None:
        raise click.UsageError("--worker needs --storage postgresql://user@host/name, where the hosts of a study meet")
    if worker and (restart or executor != "processes"):
        raise click.UsageError(
            "a --worker joins a study, and trains in processes; --restart and --executor are for one process"
        )
    if lease is not None and not worker:
        raise click.UsageError("--lease is for a --worker")
    if dry_run:
        _survey(study, out, workers, as_json)
        return
    from mmspec.cli.searching import watching
    from mmspec.study import load_study, search

    with watching(load_study(study).objectives) as watch:
        if worker and storage is not None:
            from mmspec.study.hosts import LEASE_S, take_part

            front = take_part(study, storage, out, workers=workers, lease_s=lease or LEASE_S, events=watch)
        else:
            front = search(
                study,
                out,
                resume=resume,
                restart=restart,
                events=watch,
                workers=workers,
                executor=executor,
                storage=storage,
            )
    if front is None:
        click.echo("the study is at its end; another process wrote its front", err=True)
        return
    if as_json:
        from mmspec.cli.entry import json_text
        from mmspec.study.tables import as_data

        click.echo(json_text(as_data(front)))
        return
    from mmspec.cli.ink import Ink
    from mmspec.cli.searching import front_lines

    ink = Ink(sys.stdout)
    click.echo("\n".join(front_lines(front, ink)), color=ink.coloured)


def _survey(name: str, out: str | None, workers: int, as_json: bool) -> None:
    from pathlib import Path

    from mmspec.study.file import load_study
    from mmspec.study.survey import survey

    found = survey(load_study(name), None if out is None else Path(out), workers)
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(found.to_dict()))
        return
    from mmspec.cli.ink import Ink
    from mmspec.cli.surveying import survey_lines

    ink = Ink(sys.stdout)
    click.echo("\n".join(survey_lines(found, ink)), color=ink.coloured)
