"""mmspec schema"""

from __future__ import annotations

from typing import Any

import click

from mmspec.cli.options import say


@click.command
@click.option("-o", "--out", metavar="FILE", help="instead of stdout")
@click.option("--profile", "of_profiles", is_flag=True, help="of what `mmspec profile --json` prints")
def command(out: str | None, of_profiles: bool) -> None:
    """The JSON Schema of specs, for completion and checks in editors; or of profiles."""
    from mmspec.cli.entry import json_text
    from mmspec.files import write_atomically

    text = json_text(_of_profiles() if of_profiles else _of_specs()) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        say(f"wrote {write_atomically(out, text)}")


def _of_profiles() -> dict[str, Any]:
    from mmspec.cost.schema import profile_schema

    return profile_schema()


def _of_specs() -> dict[str, Any]:
    from mmspec.components import CATALOGUE
    from mmspec.spec import json_schema

    return json_schema(CATALOGUE)
