"""A search as one watches it: a line for each training that ends, above bars for the study and the training under way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.ink import Ink
from mmspec.cli.progress import bars, ink
from mmspec.cli.table import Column, cut, lines
from mmspec.study import events as said
from mmspec.study import wording

if TYPE_CHECKING:
    from rich.progress import TaskID

    from mmspec.cli.live import Bars
    from mmspec.study import Front
    from mmspec.study.result import Objective


LABEL = 40  # columns of a spec's label beside a bar
ROWS = 8  # of the live front; of a longer one every second or third member


@contextmanager
def watching(objectives: Sequence[Objective] = ()) -> Iterator[Watch]:
    """`objectives`: with them, a terminal shows the front so far below the bars."""
    with bars() as progress:
        yield Watch(progress, objectives)


class Watch:
    """Listens to a search, and prints on stderr."""

    def __init__(self, progress: Bars | None, objectives: Sequence[Objective] = ()) -> None:
        self.objectives = objectives
        self.front: list[said.Finished] = []
        self.progress = progress
        self.ink = ink()
        self.study: TaskID | None = None
        self.trainings: dict[int, TaskID] = {}
        self.trials = self.finished = 0

    def __call__(self, event: said.Event) -> None:
        match event:
            case said.Started():
                self.started(event)
            case said.Proposed() | said.Progress():
                self.under_way(event)
            case said.Finished():
                self.over(event.trial)
                self.ended(event)
            case said.Rung():
                if not event.goes_on:
                    self.over(event.trial)
                    why = f"stopped after {event.step} steps"
                    self.line(self.ink.dim(f"  {event.trial:5}  {why}   {_label(event.params)}"))
            case said.Refused():
                self.line(self.ink.dim(f"  {'':5}  refused: {event.reason}   {_label(event.params)}"))
            case said.Failed():
                self.over(event.trial)
                self.line(f"  {event.trial:5}  {self.ink.yellow('failed:')} {event.reason}   {_label(event.params)}")
            case said.Confirming():
                self.line(f"  the front again, with fresh seeds: {event.trainings} trainings of {event.specs} specs")
            case said.Reproduced():
                values = "   ".join(
                    f"{_short(name)} {wording.amount(name, value)}" for name, value in event.values.items()
                )
                self.line(f"  {event.trial:5}  again  {values or event.reason}   {wording.duration(event.seconds):>6}")
            case said.Known():
                self.line(self.ink.dim(f"  {'':5}  the same as {event.same_as}   {_label(event.params)}"))

    def started(self, event: said.Started) -> None:
        size = "" if event.size is None else f", {event.size:,} specs"
        known = f", {len(event.finished)} finished before" if event.finished else ""
        self.line(
            f"{self.ink.bold(event.name)}   {event.trials} trainings over {event.parameters} open places{size}{known}"
        )
        self.trials, self.finished = event.trials, len(event.finished)
        if self.progress is not None:
            self.study = self.progress.add_task("search", total=event.trials, completed=self.finished, said="")
            self.progress.below = self.table(event.finished)

    def under_way(self, event: said.Proposed | said.Progress) -> None:
        if self.progress is None:
            return
        if isinstance(event, said.Proposed):
            label = cut(_label(event.params), LABEL)
            self.trainings[event.trial] = self.progress.add_task(f"spec {event.trial}", total=None, said=label)
        elif event.trial in self.trainings:
            metrics = "  ".join(f"{name} {value:.3f}" for name, value in event.metrics.items() if _number(value))
            self.progress.update(self.trainings[event.trial], total=event.steps, completed=event.step, said=metrics)

    def over(self, trial: int) -> None:
        """The bar of a training that has ended goes."""
        task = self.trainings.pop(trial, None)
        if task is not None and self.progress is not None:
            self.progress.remove_task(task)

    def ended(self, event: said.Finished) -> None:
        self.finished += 1
        values = "   ".join(f"{_short(name)} {wording.amount(name, value)}" for name, value in event.values.items())
        mark = self.ink.green("front") if event.on_front else "     "
        left = ""
        if self.progress is None and event.remaining_s:
            left = f"   about {wording.duration(event.remaining_s)} left"
        seconds = wording.duration(event.seconds)
        self.line(f"  {event.trial:5}  {mark}  {values}   {seconds:>6}   {self.ink.dim(_label(event.params) + left)}")
        if self.progress is not None and self.study is not None:
            left = f"about {wording.duration(event.remaining_s)} left" if event.remaining_s else ""
            self.progress.update(self.study, completed=self.finished, said=left)
            self.progress.below = self.table([event])

    def table(self, more: Sequence[said.Finished]) -> tuple[list[str], list[list[str]]] | None:
        """The front so far, cheapest first, with what has come to it."""
        from mmspec.study.front import non_dominated

        ended = [*self.front, *more]
        if not self.objectives or not ended:
            return None
        points = [tuple(o.cost(e.values[o.name]) for o in self.objectives) for e in ended]
        self.front = [ended[i] for i in non_dominated(points)]
        axis = next((o for o in self.objectives if not o.maximize), self.objectives[-1])
        self.front.sort(key=lambda e: axis.cost(e.values[axis.name]))
        titles = ["trial", *(wording.axis(o.name) for o in self.objectives), "the front so far"]
        shown = self.front[:: -(-len(self.front) // ROWS)]
        rows = [
            [
                str(e.trial),
                *(wording.amount(o.name, e.values[o.name]) for o in self.objectives),
                cut(_label(e.params), LABEL),
            ]
            for e in shown
        ]
        return titles, rows

    def line(self, text: str) -> None:
        if self.progress is None:
            click.echo(text, err=True)
        else:
            self.progress.console.out(text, highlight=False)


def front_lines(front: Front, colours: Ink) -> list[str]:
    """The front as a table, how far it can be trusted, and where everything is."""
    from mmspec.study.caveats import caveats
    from mmspec.study.tables import rows

    titles, cells = rows(front)
    numbers = range(1, len(titles) - 2)
    columns = [
        Column(title, right=i in numbers, give=1 if i == len(titles) - 1 else 0) for i, title in enumerate(titles)
    ]
    text = ["", *lines(columns, cells, colours), ""]
    for caveat in caveats(front):
        text += colours.wrapped(caveat, "note:")
    return [*text, "", f"  wrote {front.folder}:", *(f"    {file}" for file in _files(front))]


def _files(front: Front) -> list[str]:
    inside = []
    for file in front.files:
        inside.append(str(file.relative_to(front.folder)) if file.is_relative_to(front.folder) else str(file))
    return inside


def _label(params: Mapping[str, Any]) -> str:
    return wording.label(params, list(params)) or "the base spec"


def _short(name: str) -> str:
    return "" if name.split(".")[0] in ("flops", "parameters", "memory") else name


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
