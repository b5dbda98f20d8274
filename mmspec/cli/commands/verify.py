"""mmspec verify"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mmspec.cli.options import json_option

if TYPE_CHECKING:
    from mmspec.cli.ink import Ink
    from mmspec.packaged import Verification


@click.command
@click.argument("package", metavar="PACKAGE")
@click.option("--memory", type=click.FloatRange(min=0.5), metavar="GIB", help="4 and six times the package by default")
@click.option("--seconds", type=click.IntRange(min=1), default=300, show_default=True, help="of processor time")
@json_option
def command(package: str, memory: float | None, seconds: int, as_json: bool) -> None:
    """Is a package what it says: its files to the byte, its ONNX files, and the golden answers, run once more.

    For files that somebody else made: they are read in a process of its own, with bounds on memory and time, that may write no
    file. Needs no torch. Exit 1 and what is wrong where something is.
    """
    from mmspec.packaged import verify

    found = verify(package, None if memory is None else int(memory * (1 << 30)), seconds)
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(found.to_dict()))
    else:
        from mmspec.cli.ink import Ink

        ink = Ink(sys.stdout)
        click.echo("\n".join(_lines(found, ink)), color=ink.coloured)
    if not found.passed:
        raise click.exceptions.Exit(1)


def _lines(found: Verification, ink: Ink) -> list[str]:
    identity = ink.dim(f"identity {(found.identity or 'unknown')[:16]}")
    text = ["", f"{ink.bold(found.model or str(found.folder))}   {identity}", ""]
    for done in found.checked:
        text += ink.wrapped(done)
    for problem in found.problems:
        text += ink.wrapped(problem, "wrong:")
    errors = ", ".join(f"{name} {error:.1e}" for name, error in found.errors.items())
    if errors:
        text += ink.wrapped(f"largest errors: {errors}")
    return [*text, "", "  it is what it says" if found.passed else "  it is not what it says"]
