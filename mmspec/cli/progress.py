"""Progress on stderr: a bar that redraws itself on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

from mmspec.cli.ink import Ink

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from mmspec.cli.live import Bars


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """What is being done right now: one line that changes on a terminal, a line each anywhere else."""
    if not sys.stderr.isatty():
        yield lambda text: click.echo(f"  {text}", err=True)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    with console.status("") as status:
        yield lambda text: status.update(Text(text))


class Bar(Protocol):
    """How far something is, and what it says beside that."""

    def update(self, step: int, said: str = "") -> None: ...
    def line(self, text: str) -> None: ...


@contextmanager
def bar(title: str, steps: int, done: int = 0) -> Iterator[Bar]:
    """A bar of `steps`, of which `done` are done already; `line` prints above it."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    with _progress() as progress:
        yield Live(progress, progress.add_task(title, total=steps, completed=done, said=""))


@contextmanager
def bars() -> Iterator[Bars | None]:
    """Several bars, for who adds them; None where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with _progress(times=False) as progress:
        yield progress


class Lines:
    """Without a terminal: only the lines."""

    def update(self, step: int, said: str = "") -> None:
        pass

    def line(self, text: str) -> None:
        click.echo(text, err=True)


class Live:
    """On a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task

    def update(self, step: int, said: str = "") -> None:
        self.progress.update(self.task, completed=step, said=said)

    def line(self, text: str) -> None:
        self.progress.console.out(text, highlight=False)


def _progress(times: bool = True) -> Any:
    """rich draws the bars; what they say is never read as markup. `times`: with the time that is left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from mmspec.cli.live import Bars

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    wide = console.width >= 70
    columns: list[Any] = [TextColumn("  {task.description}", markup=False)]
    columns += [
        BarColumn(30 if wide else 12, complete_style="blue", finished_style="green", pulse_style="blue"),
        MofNCompleteColumn(),
    ]
    columns += [TextColumn("{task.fields[said]}", markup=False, style="dim")] if wide else []
    columns += [TimeRemainingColumn(compact=True)] if times else []
    return Bars(*columns, console=console, transient=True)


def ink() -> Ink:
    return Ink(sys.stderr)
