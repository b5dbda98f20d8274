"""mmspec init"""

from __future__ import annotations

import json
from pathlib import Path

import click

from mmspec.cli.options import say


@click.command
@click.argument("name", default="model")
def command(name: str) -> None:
    """Write a first spec, NAME.yaml, and the schema that gives editors completion. Overwrites nothing of yours."""
    from mmspec.cli.entry import json_text
    from mmspec.components import CATALOGUE
    from mmspec.errors import UserError
    from mmspec.files import write_atomically
    from mmspec.spec import json_schema, starter
    from mmspec.spec.starter import SCHEMA_FILE

    path = Path(name.removesuffix(".yaml") + ".yaml")
    text = starter(path.stem)
    schema = path.parent / SCHEMA_FILE
    if path.exists():
        raise UserError(f"{path} is there already; give another name")
    if schema.exists() and not _is_ours(schema):
        raise UserError(f"{schema} is there already, and mmspec did not write it")
    write_atomically(schema, json_text(json_schema(CATALOGUE)) + "\n")
    write_atomically(path, text)
    say(f"wrote {path} and {schema}")
    say(f"next: mmspec validate {path}")


def _is_ours(schema: Path) -> bool:
    try:
        found = json.loads(schema.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("title") == "mmspec"
