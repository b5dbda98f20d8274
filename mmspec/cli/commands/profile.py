"""mmspec profile"""

from __future__ import annotations

import sys

import click

from mmspec.cli.breakdown import View, takes_view
from mmspec.cli.measuring import Asked, measuring, warn_of_foreign
from mmspec.cli.options import json_option, lengths_of, on_device, opened, takes_spec


@click.command
@takes_spec
@json_option
@takes_view
@click.option("--batch", default=1, show_default=True, metavar="N", help="samples at once")
@click.option(
    "--length", "lengths", multiple=True, metavar="INPUT=N", help="tokens of a text; as many as it may have by default"
)
@click.option(
    "--expert-load",
    "expert_loads",
    multiple=True,
    metavar="MODULE=L,...",
    help="shares of the choices that each expert gets: joint.blocks.0=0.4,0.3,0.2,0.1",
)
@click.option(
    "--exit-rates", multiple=True, metavar="NODE=R,...", help="shares of samples that leave at each exit: joint=0.4,0.6"
)
@click.option(
    "--symbolic", is_flag=True, help="formulas in batch, image side, text and audio length, instead of numbers"
)
@click.option(
    "--symbol",
    "further",
    multiple=True,
    metavar="PATH=NAME",
    help="a further size of these formulas: encoders.image.patch_size=P",
)
@on_device
@measuring
def command(
    spec: str,
    as_json: bool,
    batch: int,
    lengths: tuple[str, ...],
    expert_loads: tuple[str, ...],
    exit_rates: tuple[str, ...],
    symbolic: bool,
    further: tuple[str, ...],
    device: str | None,
    precision: str | None,
    changes: tuple[str, ...],
    variant: str | None,
    view: View,
    measuring: Asked,
) -> None:
    """Parameters, FLOPs and memory, node by node. The folder of a trained model brings its measured exit rates and
    expert loads; without them or stated ones, expectations are n/a."""
    from mmspec.cost import measured, profile
    from mmspec.cost.profile import symbols_of
    from mmspec.passes import lower

    if precision is not None and device is None:
        raise click.UsageError("--precision needs a --device, whose peak in it is asked for")
    read = opened(spec, changes, variant).require_closed()
    graph = lower(read)
    if symbolic or further:
        others = {"--exit-rates": exit_rates, "--expert-load": expert_loads, "--device": device, **measuring.options}
        if given := [option for option, value in others.items() if value]:
            raise click.UsageError(f"formulas are of what every pass computes: they take no {given[0]}")
        if view.out or view.asked:
            raise click.UsageError("formulas are printed, or given out as --json: they have no other view")
        from mmspec.cli import symbolic as formulas
        from mmspec.cost.symbolic import symbolic as priced

        sizes = symbols_of(graph, lengths_of(lengths))
        formulas.say(priced(read, batch, dict(map(_symbol, further)), **sizes), as_json)
        return
    price = profile(
        read,
        batch,
        dict(_shares(text, "--exit-rates", "NODE=R,R,...") for text in exit_rates),
        graph,
        expert_loads=dict(_shares(text, "--expert-load", "MODULE=L,L,...") for text in expert_loads),
        measured=None if changes or variant else measured(spec),
        device=device,
        precision=precision or "fp32",
        **symbols_of(graph, lengths_of(lengths)),
    )
    if price.on:
        warn_of_foreign(price.on.roofline.device)
    found = measuring.answer(read, price)
    if view.out:
        from mmspec.cli.files import write

        write(price, view)
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(price.to_dict(view.depth or 1) | (found.to_dict() if found is not None else {})))
    if as_json or (view.out and found is None):
        return
    from mmspec.cli.breakdown import table as rows
    from mmspec.cli.ink import Ink
    from mmspec.cli.price import table

    ink = Ink(sys.stdout)
    if not view.out:
        text = rows(price, view, ink) if view.asked else table(read, graph, price, ink)
        click.echo("\n".join(text), color=ink.coloured)
    if price.on and not view.out:
        from mmspec.cli.on_device import lines

        click.echo("\n".join(["", *lines(read, price, ink)]), color=ink.coloured)
    if found is not None:
        click.echo("\n".join(found.lines(ink)), color=ink.coloured)


def _symbol(text: str) -> tuple[str, str]:
    path, _, name = text.partition("=")
    if not name.strip().isidentifier():
        raise click.BadParameter(f"expected PATH=NAME, found {text!r}", param_hint="--symbol")
    return path.strip(), name.strip()


def _shares(text: str, option: str, wanted: str) -> tuple[str, list[float]]:
    name, _, shares = text.partition("=")
    try:
        return name.strip(), [float(share) for share in shares.split(",")]
    except ValueError:
        raise click.BadParameter(f"expected {wanted}, found {text!r}", param_hint=option) from None
