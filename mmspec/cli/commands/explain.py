"""mmspec explain"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.options import json_option

if TYPE_CHECKING:
    from mmspec.spec import ComponentDescription, FieldDescription

ROLES = {"halting": "halting policy"}


@click.command
@click.argument("name", metavar="TYPE")
@json_option
def command(name: str, as_json: bool) -> None:
    """What a component does and what may be written in it: `explain gated`; of a role (`explain fusion`), its types."""
    from mmspec.components import CATALOGUE
    from mmspec.spec import describe

    role, _, kind = name.replace(".", ":").rpartition(":")
    found = [describe(c) for c in CATALOGUE.named(kind) if not role or c.role == role]
    singular = name.removesuffix("s")
    if not found and (name in CATALOGUE.roles or singular in CATALOGUE.roles):
        wanted = name if name in CATALOGUE.roles else singular
        found = [describe(c) for c in CATALOGUE if c.role == wanted]
        text = _role(wanted, found)
    elif found:
        text = "\n\n\n".join(map(component_text, found))
    else:
        from mmspec.errors import UserError
        from mmspec.spec.diagnostics import did_you_mean

        known = [t for r in CATALOGUE.roles for t in CATALOGUE.types(r)]
        hint = did_you_mean(kind, [*known, *CATALOGUE.roles]) or f"; roles are: {', '.join(CATALOGUE.roles)}"
        raise UserError(f"there is no component or role {name!r}{hint}")
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text([_plain(description) for description in found]))
    else:
        click.echo(text)


def component_text(described: ComponentDescription) -> str:
    """A component for a terminal: its docstring, then its fields."""
    from mmspec.cli.ink import Ink
    from mmspec.cli.table import Column, lines

    ink = Ink(sys.stdout)
    title = f"{described.type}   {ink.dim(article(ROLES.get(described.role, described.role)))}"
    rows = [
        (f.key, kind_text(f), default_text(f.default, f.required), f.bounds, f.description) for f in described.fields
    ]
    columns = (
        Column("field"),
        Column("value", give=2),
        Column("default"),
        Column("range", give=3),
        Column("meaning", dim=True),
    )
    fields = lines(columns, rows, ink) if rows else ["  nothing may be written in it"]
    return "\n".join([ink.bold(title), "", *_indented(described.text), "", *fields])


def kind_text(field: FieldDescription) -> str:
    """What may be written there; of a slot, the types that it takes."""
    from mmspec.components import CATALOGUE

    types = CATALOGUE.types(field.role) if field.role else ()
    return f"{field.kind}: {', '.join(types)}" if types else field.kind.replace(" or null", "")


def article(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def default_text(default: Any, required: bool) -> str:
    if required:
        return "required"
    if isinstance(default, dict):
        return str(default.get("type", default))
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def _role(role: str, found: list[ComponentDescription]) -> str:
    from mmspec.cli.ink import Ink
    from mmspec.cli.table import Column, lines

    ink = Ink(sys.stdout)
    rows = [(described.type, described.summary) for described in found]
    table = lines((Column("type"), Column("what it does")), rows, ink)
    return "\n".join([ink.bold(f"{role} may be"), "", *table])


def _indented(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in text.splitlines()]


def _plain(described: ComponentDescription) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(described)
