"""mmspec profile"""

from __future__ import annotations

import sys

import click

from mmspec.cli.breakdown import View, takes_view
from mmspec.cli.measuring import Asked, measuring, warn_of_foreign
from mmspec.cli.options import json_option, lengths_of, on_device, opened, takes_spec
from mmspec.cli.rerun import takes_exact


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
@click.option("--train", is_flag=True, help="the memory of a training step, too, and where it is at its most")
@click.option(
    "--optimizer",
    metavar="NAME",
    help="adamw, adamw-foreach, adamw-fused, adamw-8bit, sgd, sgd-momentum (implies --train)",
)
@click.option("--checkpoint", is_flag=True, help="blocks of stacks keep their input only (implies --train)")
@click.option("--master", is_flag=True, help="weights in bf16 with a copy in float32 (implies --train)")
@click.option(
    "--attention", default="fused", show_default=True, metavar="NAME", help="fused or materialised; at inference, too"
)
@click.option("--strict", is_flag=True, help="exit 2 if there is something without a price, and say what")
@takes_exact
@on_device
@measuring
def command(
    spec: str,
    as_json: bool,
    batch: int,
    train: bool,
    optimizer: str | None,
    checkpoint: bool,
    master: bool,
    attention: str,
    lengths: tuple[str, ...],
    expert_loads: tuple[str, ...],
    exit_rates: tuple[str, ...],
    symbolic: bool,
    further: tuple[str, ...],
    strict: bool,
    exact: bool,
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
    from mmspec.cost.step import Step
    from mmspec.passes import lower

    trained = train or optimizer or checkpoint or master
    read = opened(spec, changes, variant).require_closed()
    graph = lower(read)
    if symbolic or further:
        others = {
            "--exit-rates": exit_rates, "--expert-load": expert_loads, "--device": device, "--precision": precision,
            "--train": trained, "--exact": exact, "--strict": strict, **measuring.options,
        }  # fmt: skip
        if given := [option for option, value in others.items() if value]:
            raise click.UsageError(f"formulas are of what every pass computes: they take no {given[0]}")
        if view.out or view.asked:
            raise click.UsageError("formulas are printed, or given out as --json: they have no other view")
        from mmspec.cli import symbolic as formulas
        from mmspec.cost.symbolic import symbolic as priced

        sizes = symbols_of(graph, lengths_of(lengths))
        formulas.say(priced(read, batch, dict(map(_symbol, further)), **sizes), as_json)
        return
    precision = precision or "fp32"
    if exact and (precision != "fp32" or attention != "fused" or optimizer or checkpoint or master):
        raise click.UsageError(
            "--exact runs float32, fused attention and AdamW: other ways are priced, and not run here"
        )
    way = Step(optimizer or "adamw", precision, master, checkpoint, attention) if trained else None
    price = profile(
        read,
        batch,
        dict(_shares(text, "--exit-rates", "NODE=R,R,...") for text in exit_rates),
        graph,
        expert_loads=dict(_shares(text, "--expert-load", "MODULE=L,L,...") for text in expert_loads),
        measured=None if changes or variant else measured(spec),
        step=way,
        attention=attention,
        device=device,
        precision=precision,
        **symbols_of(graph, lengths_of(lengths)),
    )
    if strict and price.holes:
        from mmspec.errors import UserError

        raise UserError("\n  ".join([f"{price.name} is not priced in full", *map(str, price.holes)]))
    if price.on:
        warn_of_foreign(price.on.roofline.device)
    run = None
    if exact:
        from mmspec.cli.rerun import rerun

        run = rerun(price, bool(trained))
    found = measuring.answer(read, price)
    more = {key: value for each in (run, found) if each is not None for key, value in each.to_dict().items()}
    if view.out:
        from mmspec.cli.files import write

        write(price, view, more=more or None)
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(price.to_dict(view.depth or 1) | more))
    if as_json or view.out:
        return
    from mmspec.cli.breakdown import table as rows
    from mmspec.cli.ink import Ink
    from mmspec.cli.price import table

    ink = Ink(sys.stdout)
    text = rows(price, view, ink) if view.asked else table(read, graph, price, ink)
    if view.asked:
        text += [line for hole in price.holes for line in ink.wrapped(f"{hole}; sums are without it", "note:")]
    click.echo("\n".join(text), color=ink.coloured)
    if price.on:
        from mmspec.cli.on_device import lines

        click.echo("\n".join(["", *lines(read, price, ink)]), color=ink.coloured)
    if run is not None:
        click.echo("\n".join(run.lines(ink)), color=ink.coloured)
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
