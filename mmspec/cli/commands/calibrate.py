"""mmspec calibrate"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.options import json_option

if TYPE_CHECKING:
    from mmspec.cli.ink import Ink


@click.command
@click.argument("folder", metavar="FOLDER")
@click.option("--cost", type=float, metavar="SHARE", help="a mean cost of at most this share of the full model's FLOPs")
@click.option("--accuracy", type=float, metavar="SHARE", help="an accuracy of at least this, as cheaply as possible")
@click.option(
    "--loss",
    type=float,
    metavar="SHARE",
    help="an accuracy at most this below the full model's, as cheaply as possible",
)
@click.option("--data", metavar="DATA", help="as for train; by default what the model was trained on")
@click.option(
    "-o", "--out", metavar="DIR", help="write the calibrated folder here; by default FOLDER itself is replaced, whole"
)
@json_option
def command(
    folder: str,
    cost: float | None,
    accuracy: float | None,
    loss: float | None,
    data: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Choose the thresholds of a trained model's exits, one for each, for a wanted cost or accuracy.

    The validation split decides; the test split is left alone. `mmspec calibrate runs/gated --loss 0.01`
    """
    wanted = {
        name: value for name, value in (("cost", cost), ("accuracy", accuracy), ("loss", loss)) if value is not None
    }
    if len(wanted) != 1:
        raise click.UsageError("say one of --cost, --accuracy and --loss")
    from mmspec.training import Goal, calibrate

    ((kind, amount),) = wanted.items()
    done = calibrate(folder, Goal(kind, amount), data=data, out=out)  # type: ignore[arg-type]  # one of the three kinds
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(done.summary))
        return
    from mmspec.cli.ink import Ink

    ink = Ink(sys.stdout)
    click.echo("\n".join(_report(done.summary, ink)), color=ink.coloured)
    click.echo(f"  wrote {done.folder}")


def _report(summary: Mapping[str, Any], ink: Ink) -> list[str]:
    """A table for each stack, then both models beside the full one."""
    from mmspec.cli.table import Column, lines
    from mmspec.cost.quantities import quantity, share

    text: list[str] = []
    for node, rows in summary["stacks"].items():
        titles = [
            f"{node} left after",
            "threshold",
            "samples",
            "accuracy",
            "threshold now",
            "samples",
            "accuracy",
            "FLOPs",
        ]
        columns = [Column(title, right=number > 0) for number, title in enumerate(titles)]
        shown = []
        for row in rows:
            cells = [f"block {row['exit'] + 1}"]
            for when in ("before", "after"):
                side = row[when]
                cells += [_number(side["threshold"], 4), share(side["share"], 1), _number(side["accuracy"], 3)]
            shown.append([*cells, quantity(row["flops"])])
        text += [*lines(columns, shown, ink), ""]
    before, after, full = summary["before"], summary["after"], summary["full"]
    columns = [Column(""), *(Column(title, right=True) for title in ("accuracy", "mean FLOPs", "of full"))]
    whole = after["flops"] / after["cost"]
    rows = [
        ["full model", f"{full['accuracy']:.4f}", quantity(whole), "100 %"],
        ["before", f"{before['accuracy']:.4f}", quantity(before["flops"]), share(before["flops"], whole)],
        ["calibrated", f"{after['accuracy']:.4f}", quantity(after["flops"]), share(after["flops"], whole)],
    ]
    text += [*lines(columns, rows, ink), ""]
    shared = summary["shared"]
    text += ink.wrapped(
        f"accuracies on {summary['examples']:,} independent validation examples, \u00b1 {after['standard_error']:.3f}; "
        f"one threshold for each exit: the best that all share, {shared['threshold']:g}, gives {shared['accuracy']:.4f} "
        f"at {share(shared['cost'], 1)}"
    )
    return text


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
