"""mmspec export"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.options import changes, json_option, opened

if TYPE_CHECKING:
    from mmspec.cli.ink import Ink
    from mmspec.deploy import Report
    from mmspec.spec import ModelSpec


@click.command
@click.argument("model", metavar="SPEC_OR_FOLDER")
@click.option(
    "--target", required=True, metavar="TARGET", help="a target file, or the name of one that comes with mmspec"
)
@click.option(
    "-o", "--out", metavar="DIR", help="build/<name>_<target> by default; replaced whole if it is one of ours"
)
@click.option("--seed", default=0, show_default=True, help="of fresh weights, where a spec is exported")
@click.option(
    "--licence", "licences", multiple=True, metavar="FILE",
    help="of the weights, the data or a tokenizer, goes into the package; may be given several times",
)  # fmt: skip
@json_option
@changes
def command(
    model: str,
    target: str,
    out: str | None,
    seed: int,
    licences: tuple[str, ...],
    as_json: bool,
    changes: tuple[str, ...],
    variant: str | None,
) -> None:
    """An ONNX file with every exit and expert in it, run and compared with torch before it is written.

    A built or trained folder keeps its weights; a spec gets fresh ones. A failed comparison is exit 1 and leaves no file.
    """
    if Path(model).is_dir() and (changes or variant):
        raise click.UsageError("--set and --variant change a spec; a folder's model is what it is")
    subject: ModelSpec | str = model if Path(model).is_dir() else opened(model, changes, variant).require_closed()
    name = Path(model).resolve().name if isinstance(subject, str) else subject.name
    from mmspec.cli.progress import steps
    from mmspec.deploy import export, load_target

    wanted = load_target(target)
    folder = Path(out) if out else Path("build") / f"{name}_{wanted.name}"
    with steps() as say:
        report = export(subject, wanted, folder, seed, say, licences)
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(report.to_dict()))
        return
    from mmspec.cli.ink import Ink

    ink = Ink(sys.stdout)
    click.echo("\n".join(_lines(report, ink)), color=ink.coloured)


def _lines(report: Report, ink: Ink) -> list[str]:
    """What was made, what was compared, and where it lies."""
    from mmspec.cli.table import Column, lines
    from mmspec.cost.quantities import quantity

    file: Any = report.file
    facts = f"opset {file['opset']}, {file['nodes']:,} nodes, {file['parameters']:,} parameters, {quantity(file['bytes'], 'B')}"
    text = ["", f"{ink.bold(report.model)}   {ink.dim(f'{report.weights}; {facts}')}", ""]
    columns = (Column("output"), Column("largest error", right=True), Column("allowed", right=True))
    rows = [(name, f"{error:.1e}", _allowed(report, name)) for name, error in report.parity.max_error.items()]
    text += [*lines(columns, rows, ink), ""]
    parity = report.parity
    form = "" if report.target.precision == "fp32" else "in float32, "
    text += ink.wrapped(f"{form}compared with torch in {len(parity.compared)} runs, {parity.samples:,} samples")
    if parity.excused:
        text += ink.wrapped(f"{parity.excused} samples lie too close to a threshold to be judged", "note:")
    for told in parity.notes:
        text += ink.wrapped(told, "note:")
    for addition in report.beside:
        text += [line for word in addition.words for line in ink.wrapped(word)]
    text += [line for word in _times(report) for line in ink.wrapped(word)]
    if not report.trained:
        text += ink.wrapped("these weights were never trained", "note:")
    text += ink.wrapped(f"licence of weights and data: {report.licence}")
    return [*text, *ink.wrapped(f"wrote {report.folder}: what runs is {report.file['name']}")]


def _allowed(report: Report, output: str) -> str:
    """What an output may be off by, in words."""
    dtype = next((port.dtype for port in report.contract.outputs if port.name == output), "float32")
    limit = report.target.verify.of(output, dtype)
    return f"{limit.absolute:.2g} or {limit.relative:.0e} of it" if limit.absolute else "equal"


def _times(report: Report) -> list[str]:
    """What was measured, in sentences."""
    found = report.measurements
    if found is None:
        return []
    if found.note:
        return [found.note]
    rows = ", ".join(
        f"{row['begin_ms']:.3g} ms to begin and {row['step_ms']:.3g} ms for each token at batch {batch}"
        if "step_ms" in row
        else f"{row['median_ms']:.3g} ms at batch {batch}"
        for batch, row in found.by_batch.items()
    )
    threads = f"{found.threads} thread{'s' if found.threads > 1 else ''}"
    memory = f", {found.peak_bytes / 1e6:.0f} MB at most" if found.peak_bytes else ""
    return [f"measured in a process of its own, {found.runtime}, {threads}: median {rows}{memory}"]
