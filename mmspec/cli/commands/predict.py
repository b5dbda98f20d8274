"""mmspec predict"""

from __future__ import annotations

import sys
from typing import Any

import click

from mmspec.cli.options import json_option

SHOWN = 5  # answers in the chart
BAR = 30  # columns of a certain answer


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("folder", metavar="FOLDER")
@click.option("--tokens", type=click.IntRange(1), default=128, help="tokens that are written at most  [128]")
@json_option
@click.pass_context
def command(context: click.Context, folder: str, tokens: int, as_json: bool) -> None:
    """Ask a trained model one question: --INPUT VALUE for each input of its spec. A text that it writes goes on from VALUE.

    `mmspec predict runs/fusion_gated --image seven.png --text "which digit is this?"`
    """
    inputs = _inputs(context.args)
    from mmspec.training import predict

    answers = predict(folder, inputs, tokens)
    if as_json:
        from mmspec.cli.entry import json_text

        click.echo(json_text(answers))
        return
    from mmspec.cli.ink import Ink

    ink = Ink(sys.stdout)
    for head, answer in answers.items():
        click.echo("\n".join(_chart(head, answer, ink)), color=ink.coloured)


def _inputs(typed: list[str]) -> dict[str, str]:
    """`--image x.png --text=hello` as inputs by name."""
    inputs: dict[str, str] = {}
    waiting = list(typed)
    while waiting:
        option = waiting.pop(0)
        name, equals, value = option.removeprefix("--").partition("=")
        if not option.startswith("--") or not name:
            raise click.UsageError(f"expected --INPUT VALUE, found {option!r}")
        if not equals:
            if not waiting:
                raise click.UsageError(f"--{name} has no value")
            value = waiting.pop(0)
        if name in inputs:
            raise click.UsageError(f"--{name} is given twice")
        inputs[name] = value
    return inputs


def _chart(head: str, answer: dict[str, Any], ink: Any) -> list[str]:
    """The answer, and bars for the most probable ones; or how well two inputs go together; or a text."""
    if "text" in answer:
        why = "" if answer["ended"] else ink.dim("   (there is more)")
        return [f"{head}: {ink.bold(answer['text'])}{why}"]
    if "score" in answer:
        return [f"{head}: {ink.bold(format(answer['score'], '.3f'))}"]
    from mmspec.cli.table import columns_of

    ranked = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])[:SHOWN]
    wide = max(columns_of(name) for name, _ in ranked)
    sure = f"{answer['probability']:.1%}" + (f", left at exit {answer['exit'] + 1}" if "exit" in answer else "")
    lines = [f"{head}: {ink.bold(answer['answer'])}   {ink.dim(sure)}"]
    for name, chance in ranked:
        filled = "█" * round(BAR * chance) or ("▏" if chance >= 0.001 else "")
        lines.append(f"  {name}{' ' * (wide - columns_of(name))}  {chance:6.1%}  {ink.blue(filled)}".rstrip())
    return lines
