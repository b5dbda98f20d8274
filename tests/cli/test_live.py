"""The front so far, on a terminal."""

from pathlib import Path

from rich.console import Console

from mmspec.cli.live import Bars
from mmspec.cli.searching import Watch
from mmspec.study import events
from mmspec.study.result import Objective


def test_what_is_dominated_leaves_the_table_and_the_cheapest_is_first():
    console = Console(width=120, force_terminal=True, record=True)
    progress = Bars(console=console)
    watch = Watch(progress, (Objective("accuracy", True), Objective("flops.total", False)))
    watch(events.Started("made", Path("made"), 3, 0, 1, 9))
    for trial, accuracy, flops in ((0, 0.5, 2e6), (1, 0.7, 1e6), (2, 0.9, 3e6)):
        values = {"accuracy": accuracy, "flops.total": flops}
        watch(events.Finished(trial, {"a.b.c": trial}, values, 1.0, True, 60.0))
    assert [row[0] for row in progress.below[1]] == ["1", "2"]
    console.print(*progress.get_renderables())
    shown = console.export_text()
    assert "the front so far" in shown and "0.700" in shown
