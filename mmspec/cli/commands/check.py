"""mmspec check"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.options import json_option, lengths_of, on_device, opened, takes_spec

if TYPE_CHECKING:
    from mmspec.cost.check import Verdict
    from mmspec.cost.limits import Limit
    from mmspec.spec import ModelSpec
    from mmspec.spec.diagnostics import Diagnostic

OPTIONS = {
    "--max-parameters": "parameters.total",
    "--max-flops": "flops.total",
    "--max-memory": "memory.peak_inference",
}


@click.command
@takes_spec
@click.option("--max-parameters", metavar="N", help="100M: all of them")
@click.option("--max-flops", metavar="N", help="20G, 20 GFLOP: forward, 2 per multiply-add, of the whole batch")
@click.option("--max-memory", metavar="N", help="8GiB, 500 MB: weights and activations at inference")
@click.option(
    "--max-latency-ms", type=float, metavar="N", help="with --device: no run can keep what the lower bound breaks"
)
@click.option(
    "--limit", "written", multiple=True, metavar="LIMIT", help='any figure of the profile: "parameters.active <= 2e9"'
)
@on_device
@click.option("--batch", default=1, show_default=True, metavar="N", help="samples at once")
@click.option(
    "--length", "lengths", multiple=True, metavar="INPUT=N", help="tokens of a text; as many as it may have by default"
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    spec: str,
    max_parameters: str | None,
    max_flops: str | None,
    max_memory: str | None,
    max_latency_ms: float | None,
    written: tuple[str, ...],
    device: str | None,
    precision: str | None,
    batch: int,
    lengths: tuple[str, ...],
    as_json: bool,
    changes: tuple[str, ...],
    variant: str | None,
) -> None:
    """Is the price within limits? Exit 2 if not, with the node that costs the most. --device: it must fit, too.

    `mmspec check fusion_gated --max-flops 2G --max-memory 64MiB --device orin-nano --precision fp16`
    """
    from mmspec.cost import measured, profile
    from mmspec.cost.check import held_against
    from mmspec.cost.limits import LimitError
    from mmspec.cost.profile import symbols_of
    from mmspec.errors import UserError
    from mmspec.passes import lower

    amounts = dict(zip(OPTIONS, (max_parameters, max_flops, max_memory), strict=True))
    limits = _limits(amounts, max_latency_ms, written, device)
    if not limits and device is None:
        raise click.UsageError(
            "nothing to check: give a limit, such as --max-flops 20G, or a --device that it must fit on"
        )
    read = opened(spec, changes, variant).require_closed()
    graph = lower(read)
    wanted = symbols_of(graph, lengths_of(lengths))
    price = profile(
        read,
        batch,
        None,
        graph,
        expert_loads=None,
        measured=None if changes or variant else measured(spec),
        step=None,
        attention="fused",
        device=device,
        precision=precision or "fp32",
        **wanted,
    )
    if price.on is not None:
        from mmspec.cli.measuring import warn_of_foreign

        warn_of_foreign(price.on.roofline.device)
    try:
        verdicts = held_against(price, limits, precision or "fp32")
    except LimitError as error:
        raise UserError(str(error)) from None
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(_plain(read, verdicts)))
    else:
        _print(read, verdicts)
    context.exit(0 if all(verdict.kept for verdict in verdicts) else 2)


def _limits(
    amounts: dict[str, str | None], latency: float | None, written: tuple[str, ...], device: str | None
) -> list[tuple[Limit, str]]:
    """Each with the option that it was given by.   Raises click.BadParameter, click.UsageError"""
    from mmspec.cost.check import LATENCY
    from mmspec.cost.limits import Limit, LimitError, amount, parse_limit

    limits: list[tuple[Limit, str]] = []
    option = ""
    try:
        for option, text in amounts.items():
            if text is not None:
                figure = OPTIONS[option]
                limits.append((Limit(figure, "<=", amount(text, figure), text), option))
        option = "--limit"
        limits += [(parse_limit(text), option) for text in written]
    except LimitError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
    if latency is not None:
        if device is None:
            raise click.UsageError("--max-latency-ms needs a --device, whose lower bound is held against it")
        if not latency > 0:
            raise click.BadParameter(f"{latency:g} ms are no time", param_hint="--max-latency-ms")
        limits.append((Limit(LATENCY, "<=", latency, f"{latency:g} ms"), "--max-latency-ms"))
    return limits


def _print(spec: ModelSpec, verdicts: tuple[Verdict, ...]) -> None:
    from mmspec.cli.ink import Ink
    from mmspec.cli.table import Column, lines

    ink, trouble = Ink(sys.stdout), Ink(sys.stderr)
    kept = [verdict for verdict in verdicts if verdict.kept]
    if kept:
        columns = (Column("kept"), Column("value", right=True), Column("limit", right=True))
        rows = [
            (said(v), amount_text(v.limit.figure, v.value), amount_text(v.limit.figure, v.limit.bound)) for v in kept
        ]
        click.echo("\n".join([ink.bold(spec.name), "", *lines(columns, rows, ink)]), color=ink.coloured)
    for verdict in verdicts:
        if not verdict.kept:
            text = str(diagnostic(spec, verdict)).splitlines()
            click.echo("\n".join(map(trouble.diagnostic, text)) + "\n", err=True, color=trouble.coloured)


def diagnostic(spec: ModelSpec, verdict: Verdict) -> Diagnostic:
    """A broken limit, at the node that costs the most."""
    figure = verdict.limit.figure
    value, wanted = amount_text(figure, verdict.value), amount_text(figure, verdict.limit.bound)
    relation = "more than" if verdict.limit.relation == "<=" else "less than"
    message = f"{said(verdict)}: {value}, {relation} {wanted} ({verdict.option})"
    if not verdict.parts:
        return spec.diagnostic("", message)
    paths = {node.name: node.path for node in spec.nodes}
    top = ", ".join(f"{name} {amount_text(figure, part)}" for name, part in verdict.parts[:4])
    rest = len(verdict.parts) - 4
    return spec.diagnostic(
        paths[verdict.parts[0][0]], message, hint=f"by node: {top}" + (f", and {rest} more" if rest > 0 else "")
    )


def said(verdict: Verdict) -> str:
    """What is held against the limit."""
    from mmspec.cost.check import FITS, LATENCY

    names = {LATENCY: "the least time", FITS: "memory needed"}
    figure = verdict.limit.figure
    return f"{names[figure]} on {verdict.device}" if figure in names else figure


def amount_text(figure: str, value: float) -> str:
    """A value in its figure's unit."""
    from mmspec.cost.check import LATENCY
    from mmspec.cost.quantities import duration, quantity

    if figure == LATENCY:
        return duration(value / 1e3)
    group = figure.partition(".")[0]
    if group in ("memory", "fit"):
        return quantity(value, "B")
    return f"{value:,.0f}" if group == "parameters" else quantity(value)


def _plain(spec: ModelSpec, verdicts: tuple[Verdict, ...]) -> dict[str, Any]:
    found = []
    for verdict in verdicts:
        place = {} if verdict.kept else diagnostic(spec, verdict).to_dict()
        found.append({**verdict.to_dict(), "option": verdict.option, "error": place or None})
    return {"name": spec.name, "kept": all(verdict.kept for verdict in verdicts), "limits": found}
