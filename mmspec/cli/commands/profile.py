"""mmspec profile"""

from __future__ import annotations

import sys

import click

from mmspec.cli.options import json_option, opened, takes_spec


@click.command
@takes_spec
@json_option
@click.option("--batch", default=1, show_default=True, metavar="N", help="samples at once")
@click.option(
    "--length", "lengths", multiple=True, metavar="INPUT=N", help="tokens of a text; as many as it may have by default"
)
@click.option(
    "--exit-rates", multiple=True, metavar="NODE=R,...", help="shares of samples that leave at each exit: joint=0.4,0.6"
)
def command(
    spec: str,
    as_json: bool,
    batch: int,
    lengths: tuple[str, ...],
    exit_rates: tuple[str, ...],
    changes: tuple[str, ...],
    variant: str | None,
) -> None:
    """Parameters, FLOPs and memory, node by node. The folder of a trained model brings its measured exit rates."""
    from mmspec.cost import measured_rates, profile
    from mmspec.cost.profile import symbols_of
    from mmspec.passes import lower

    read = opened(spec, changes, variant).require_closed()
    graph = lower(read)
    measured = {} if changes or variant else measured_rates(spec)
    price = profile(
        read, batch, measured | dict(map(_rates, exit_rates)), graph, **symbols_of(graph, dict(map(_length, lengths)))
    )
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(price.to_dict()))
        return
    from mmspec.cli.ink import Ink
    from mmspec.cli.price import table

    ink = Ink(sys.stdout)
    click.echo("\n".join(table(read, graph, price, ink)), color=ink.coloured)


def _length(text: str) -> tuple[str, int]:
    name, _, tokens = text.partition("=")
    if not tokens.strip().isdecimal():
        raise click.BadParameter(f"expected INPUT=N, found {text!r}", param_hint="--length")
    return name.strip(), int(tokens)


def _rates(text: str) -> tuple[str, list[float]]:
    node, _, shares = text.partition("=")
    try:
        return node.strip(), [float(share) for share in shares.split(",")]
    except ValueError:
        raise click.BadParameter(f"expected NODE=R,R,..., found {text!r}", param_hint="--exit-rates") from None
