"""mmspec schema"""

from __future__ import annotations

import click

from mmspec.cli.options import say


@click.command
@click.option("-o", "--out", metavar="FILE", help="instead of stdout")
def command(out: str | None) -> None:
    """The JSON Schema of specs, for completion and checks in editors."""
    from mmspec.cli.entry import json_text
    from mmspec.components import CATALOGUE
    from mmspec.files import write_atomically
    from mmspec.spec import json_schema

    text = json_text(json_schema(CATALOGUE)) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        say(f"wrote {write_atomically(out, text)}")
