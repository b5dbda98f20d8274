"""What several commands share: the spec, what is changed in it, and where things go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec

Function = TypeVar("Function", bound=Callable[..., Any])

CHANGES = (
    click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="a change: --set fusion.joint.depth=4"),
    click.option("--variant", metavar="NAME", help="one of the spec's variants"),
)


def changes(function: Function) -> Function:
    """`--set` and `--variant`."""
    for option in reversed(CHANGES):
        function = option(function)
    return function


def takes_spec(function: Function) -> Function:
    """`SPEC`, `--set` and `--variant`."""
    return click.argument("spec", metavar="SPEC")(changes(function))


def on_device(function: Function) -> Function:
    """`--device` and `--precision`."""
    for option in (
        click.option(
            "--precision",
            metavar="P",
            help="of all numbers: fp32 (the default), bf16-autocast, bf16, fp16; on a device also others",
        ),
        click.option(
            "--device", metavar="D", help="what it takes there at the least: a name of `mmspec devices`, or a file"
        ),
    ):
        function = option(function)
    return function


json_option = click.option("--json", "as_json", is_flag=True, help="for machines: JSON on stdout and nothing else")


def opened(spec: str, changes: tuple[str, ...] = (), variant: str | None = None) -> ModelSpec:
    """The spec with its changes.   Raises SpecError."""
    import mmspec

    return mmspec.load(spec, changes, variant)


def lengths_of(texts: Iterable[str]) -> dict[str, int]:
    """`--length text=12`, as a profile takes it."""
    found = {}
    for text in texts:
        name, _, tokens = text.partition("=")
        if not tokens.strip().isdecimal():
            raise click.BadParameter(f"expected INPUT=N, found {text!r}", param_hint="--length")
        found[name.strip()] = int(tokens)
    return found


def say(text: str = "") -> None:
    """Talk: on stderr, so that stdout holds the answer alone."""
    click.echo(text, err=True)
