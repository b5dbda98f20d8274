"""mmspec show"""

from __future__ import annotations

import click

from mmspec.cli.options import opened, takes_spec


@click.command
@takes_spec
@click.argument("node", required=False)
@click.option("--nested", is_flag=True, help="with everything inside")
@click.option(
    "--resolved", is_flag=True, help="the spec instead: every default written out, every value with its origin"
)
def command(
    spec: str, node: str | None, nested: bool, resolved: bool, changes: tuple[str, ...], variant: str | None
) -> None:
    """The compiled graph as the program it is; NODE shows the inside of one (joint, or further in: joint.blocks)."""
    from mmspec.errors import UserError
    from mmspec.ir.printing import find, text
    from mmspec.passes import lower

    read = opened(spec, changes, variant)
    if resolved:
        if node:
            raise click.UsageError("--resolved shows the whole spec; leave NODE out")
        click.echo(read.to_yaml(origins=True), nl=False)
        return
    graph = lower(read)
    if node:
        found = find(graph, node)
        if found is None:
            inside = node.rpartition(".")[0]
            around = find(graph, inside) if inside else graph
            names = [op.name for op in around.ops if op.bodies] if around else []
            known = f"; {inside or read.name} has: {', '.join(names)}" if names else ""
            raise UserError(f"{read.name} has nothing called {node!r} to look into{known}")
        graph = found
    click.echo(text(graph, nested))
