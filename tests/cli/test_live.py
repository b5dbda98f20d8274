"""The front so far, on a terminal."""

from pathlib import Path

from rich.console import Console

from mmspec.cli.live import Bars
from mmspec.cli.searching import Watch
from mmspec.study import events
from mmspec.study.result import Objective

OBJECTIVES = (Objective("accuracy", True), Objective("flops.total", False))


def finished(trial, accuracy, flops):
    values = {"accuracy": accuracy, "flops.total": flops}
    return events.Finished(trial, {"a.b.c": trial}, values, 1.0, True, 60.0)


def test_what_is_dominated_leaves_the_table_and_the_cheapest_is_first():
    console = Console(width=120, force_terminal=True, record=True)
    progress = Bars(console=console)
    watch = Watch(progress, OBJECTIVES)
    watch(events.Started("made", Path("made"), 3, (), 1, 9))
    for each in ((0, 0.5, 2e6), (1, 0.7, 1e6), (2, 0.9, 3e6)):
        watch(finished(*each))
    assert [row[0] for row in progress.below[1]] == ["1", "2"]
    console.print(*progress.get_renderables())
    shown = console.export_text()
    assert "the front so far" in shown and "0.700" in shown


def test_a_resumed_search_shows_the_front_of_what_was_finished_before_anything_new_ends():
    progress = Bars(console=Console(width=120, force_terminal=True))
    watch = Watch(progress, OBJECTIVES)
    before = (finished(0, 0.5, 2e6), finished(1, 0.7, 1e6), finished(2, 0.9, 3e6))
    watch(events.Started("made", Path("made"), 5, before, 1, 9))
    assert [row[0] for row in progress.below[1]] == ["1", "2"]
    assert progress.tasks[0].completed == 3
    watch(finished(3, 0.95, 1.5e6))
    assert [row[0] for row in progress.below[1]] == ["1", "3"]


def test_where_nothing_is_finished_there_is_no_table():
    progress = Bars(console=Console(width=120, force_terminal=True))
    Watch(progress, OBJECTIVES)(events.Started("made", Path("made"), 5, (), 1, 9))
    assert progress.below is None
