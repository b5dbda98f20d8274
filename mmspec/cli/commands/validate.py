"""mmspec validate"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.options import changes, json_option, opened

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


@click.command
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@json_option
@changes
@click.pass_context
def command(
    context: click.Context, specs: tuple[str, ...], as_json: bool, changes: tuple[str, ...], variant: str | None
) -> None:
    """Is each spec valid, and does it fit together? Every mistake with its line; exit 2 if there is one."""
    results = [_validated(spec, changes, variant) for spec in specs]
    if as_json:
        from mmspec.cli.entry import json_text

        plain = [{key: value for key, value in result.items() if key != "text"} for result in results]
        click.echo(json_text({"valid": all(result["valid"] for result in results), "specs": plain}))
    else:
        _print(results)
    context.exit(0 if all(result["valid"] for result in results) else 2)


def _validated(name: str, changes: tuple[str, ...], variant: str | None) -> dict[str, Any]:
    from mmspec.passes import lower
    from mmspec.spec import SpecError

    try:
        spec = opened(name, changes, variant)
        graph = lower(_closed(spec))
    except SpecError as error:
        return {"spec": name, "valid": False, **error.to_dict(), "text": str(error)}
    return {
        "spec": name,
        "valid": True,
        "name": spec.name,
        "inputs": list(spec.inputs),
        "nodes": [node.path for node in spec.nodes],
        "open": {key: str(domain) for key, domain in spec.domains.items()},
        "notes": list(graph.notes),
        "errors": [],
    }


def _closed(spec: ModelSpec) -> ModelSpec:
    """The spec with a value in every open domain: its default, else the first that it may have."""
    while missing := [
        domain for domain in spec.domains.values() if not domain.has_default and domain.active(_settled(spec))
    ]:
        spec = spec.choose({domain.key: domain.values[0] if domain.values else domain.low for domain in missing})
    return spec


def _settled(spec: ModelSpec) -> dict[str, Any]:
    return {**{key: d.default for key, d in spec.domains.items() if d.has_default}, **spec.chosen}


def _print(results: list[dict[str, Any]]) -> None:
    import sys

    from mmspec.cli.ink import Ink

    ink, trouble = Ink(sys.stdout), Ink(sys.stderr)
    for result in results:
        if not result["valid"]:
            click.echo(
                "\n".join(map(trouble.diagnostic, result["text"].splitlines())) + "\n", err=True, color=trouble.coloured
            )
            continue
        nodes = len(result["nodes"])
        facts = f"{', '.join(result['inputs'])}; {nodes} node{'s' if nodes != 1 else ''}"
        click.echo(f"{ink.green('valid')}  {result['spec']}  {ink.dim(facts)}", color=ink.coloured)
        for key, domain in result["open"].items():
            click.echo(f"       open: {key} may be {domain}")
        for note in result["notes"]:
            click.echo(f"       note: {note}")
    wrong = sum(not result["valid"] for result in results)
    if wrong and len(results) > 1:
        click.echo(f"{wrong} of {len(results)} specs are not valid", err=True)
