"""mmspec draw"""

from __future__ import annotations

import click

from mmspec.cli.options import opened, say, takes_spec


@click.command
@takes_spec
@click.option("-o", "--out", metavar="FILE", help="an .svg; <name>.svg by default, - for stdout")
def command(spec: str, out: str | None, changes: tuple[str, ...], variant: str | None) -> None:
    """The compiled graph as a picture (SVG, for light and dark pages)."""
    from mmspec.cost import profile
    from mmspec.drawing import draw
    from mmspec.files import write_atomically
    from mmspec.passes import lower

    read = opened(spec, changes, variant).require_closed()
    graph = lower(read)
    picture = draw(graph, profile(read, graph=graph))
    if out == "-":
        click.echo(picture, nl=False)
        return
    path = write_atomically(out or f"{read.name}.svg", picture)
    say(f"wrote {path}")
