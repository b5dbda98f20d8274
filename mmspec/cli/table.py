"""A table as lines of text: columns two spaces apart, numbers to the right; what does not fit a narrow terminal gives way."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from mmspec.cli.ink import Ink

GAP = "   "
SHORTEST = 8  # columns of a text that was cut


@dataclass(frozen=True)
class Column:
    """`right`: aligned to the right, as numbers are. `give`: who gives way first on a narrow terminal; 0 never does."""

    title: str
    right: bool = False
    give: int = 0
    dim: bool = False


def lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], ink: Ink, total: Sequence[str] | None = None
) -> list[str]:
    """Titles, rows, and the total below a rule."""
    everything = [*rows, *([total] if total else [])]
    shown = list(range(len(columns)))
    sizes = [max([columns_of(c.title), *(columns_of(row[i]) for row in everything)]) for i, c in enumerate(columns)]
    while ink.width and _needed(sizes, shown) > ink.width:
        giving = [i for i in shown if columns[i].give]
        if not giving:
            break
        shown.remove(max(giving, key=lambda i: columns[i].give))
    if ink.width and _needed(sizes, shown) > ink.width:  # the widest text is cut
        widest = max((i for i in shown if not columns[i].right), key=lambda i: sizes[i], default=shown[0])
        sizes[widest] = max(SHORTEST, sizes[widest] - _needed(sizes, shown) + ink.width)
    titles = _line([c.title for c in columns], columns, sizes, shown)
    text = [ink.dim(titles)]
    text += [_line(row, columns, sizes, shown, ink) for row in rows]
    if total:
        text += [ink.dim("  " + "-" * (len(titles) - 2)), ink.bold(_line(total, columns, sizes, shown))]
    return text


def columns_of(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, most: int) -> str:
    """The text in at most so many columns."""
    if columns_of(text) <= most:
        return text
    while text and columns_of(text) > most - 1:
        text = text[:-1]
    return text + "…"


def _needed(sizes: Sequence[int], shown: Sequence[int]) -> int:
    return 2 + sum(sizes[i] for i in shown) + len(GAP) * (len(shown) - 1)


def _line(
    row: Sequence[str], columns: Sequence[Column], sizes: Sequence[int], shown: Sequence[int], ink: Ink | None = None
) -> str:
    cells = []
    for i in shown:
        text = cut(row[i], sizes[i])
        space = " " * (sizes[i] - columns_of(text))
        text = ink.dim(text) if ink and columns[i].dim else text
        cells.append(space + text if columns[i].right else text + space)
    return ("  " + GAP.join(cells)).rstrip()
