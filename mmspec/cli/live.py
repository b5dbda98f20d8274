"""Bars with a table below them that changes with them: what rich draws while something runs."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text


class Bars(Progress):
    """`below`: titles and rows; texts are never read as markup."""

    below: tuple[list[str], list[list[str]]] | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.below is None:
            return
        titles, rows = self.below
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for i, title in enumerate(titles):
            table.add_column(Text(title), justify="left" if i == len(titles) - 1 else "right", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))
        yield table
