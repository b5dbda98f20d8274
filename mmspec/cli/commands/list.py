"""mmspec list"""

from __future__ import annotations

import sys
from typing import Any

import click

from mmspec.cli.options import json_option

SHIPPED = {"specs": "specs", "search": "studies", "export": "targets"}


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """Components by role, and the specs, studies and targets that come with mmspec."""
    from mmspec import shipped
    from mmspec.components import CATALOGUE
    from mmspec.spec import describe

    components = {
        role: {described.type: described.summary for described in (describe(c) for c in CATALOGUE if c.role == role)}
        for role in in_order(CATALOGUE.roles)
    }
    files: dict[str, dict[str, str]] = {}
    for kind, name in SHIPPED.items():
        found = {stem: shipped.find(kind, stem) for stem in shipped.names(kind)}  # type: ignore[arg-type]
        files[name] = {stem: _headline(path) for stem, path in found.items() if path}
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text({"components": components, **files}))
    else:
        _print(components, files)


def _print(components: dict[str, dict[str, str]], files: dict[str, dict[str, str]]) -> None:
    from mmspec.cli.ink import Ink
    from mmspec.cli.table import cut

    ink = Ink(sys.stdout)
    wide = max(len(name) for group in (*components.values(), *files.values()) for name in group)

    def section(title: str, group: dict[str, Any]) -> None:
        click.echo(ink.bold(title), color=ink.coloured)
        for name, text in group.items():
            line = cut(text, ink.width - wide - 4) if ink.width else text
            click.echo(f"  {name.ljust(wide)}  {ink.dim(line)}".rstrip(), color=ink.coloured)

    for role, group in components.items():
        section(role, group)
    for name, group in files.items():
        if group:
            click.echo()
            section(name, group)
    click.echo(ink.dim("\nmmspec explain TYPE says more about a component"), color=ink.coloured)


def in_order(roles: tuple[str, ...]) -> list[str]:
    """As a spec is read: its sections first, then what stands in slots."""
    from mmspec.spec.roles import SECTIONS

    first = [role.role for role in SECTIONS.values() if role.role in roles]
    return first + [role for role in roles if role not in first]


def _headline(path: Any) -> str:
    """The first line of the comment that a shipped file opens with."""
    for line in path.read_text(encoding="utf-8").splitlines()[:3]:
        text = line.lstrip("# ").strip()
        if line.startswith("#") and text and not text.startswith("yaml-language-server"):
            return str(text)
    return ""
