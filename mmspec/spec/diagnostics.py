"""What is wrong with a user's file, said so that it can be mended: place, caret, what was expected, the nearest name.

error: unknown fusion 'gate', did you mean 'gated'?
 --> specs/fusion_gated.yaml:11:11
   |
11 |     type: gate
   |           ^^^^
   = fusion may be: attention, bottleneck, concat, cross_attention, gated
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmspec.errors import UserError
from mmspec.spec.source import Position

SHOWN = 20  # diagnostics of one error
WIDTH = 140  # characters of a source line, around the caret


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake. `label` stands beside the caret, `notes` below it; `file` names the file where there is no position in it."""

    message: str
    position: Position | None = None
    notes: tuple[str, ...] = ()
    label: str = ""
    file: str = ""

    def __str__(self) -> str:
        position = self.position
        lines = [f"error: {self.message}"]
        if position is None:
            lines += [f" --> {self.file}"] if self.file else []
            return "\n".join(lines + [f" = {note}" for note in self.notes])
        gutter = " " * len(str(position.line))
        text, caret = _underlined(position)
        lines += [
            f" --> {position}",
            f"{gutter} |",
            f"{position.line} | {text}".rstrip(),
            f"{gutter} | {caret} {self.label}".rstrip(),
        ]
        return "\n".join(lines + [f"{gutter} = {note}" for note in self.notes])

    def to_dict(self) -> dict[str, Any]:
        """The same for machines; places are null where they are not known."""
        place: dict[str, Any] = {
            "file": self.file or None,
            "line": None,
            "column": None,
            "end_line": None,
            "end_column": None,
        }
        if self.position is not None:
            source, *numbers = self.position
            place = dict(zip(place, [source.name, *numbers], strict=True))
        return {"message": self.message, **place, "label": self.label or None, "notes": list(self.notes)}


class SpecError(UserError):
    """Everything that is wrong with a spec (or another file that we read), in the order of the file."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        unique = {(d.message, d.position and d.position.order, d.file): d for d in reversed(list(diagnostics))}
        self.diagnostics = tuple(sorted(unique.values(), key=_order))
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        blocks = [str(diagnostic) for diagnostic in self.diagnostics[:SHOWN]]
        rest = len(self.diagnostics) - SHOWN
        return "\n\n".join(blocks + ([f"... and {rest:,} more errors"] if rest > 0 else []))

    def to_dict(self) -> dict[str, Any]:
        return {"errors": [diagnostic.to_dict() for diagnostic in self.diagnostics]}


def nearest(name: object, names: Iterable[str]) -> str | None:
    """The name that was probably meant; None where nothing is near."""
    if not isinstance(name, str) or len(name) > 64:
        return None
    lowered = {candidate.lower(): candidate for candidate in list(names)[:1000] if len(candidate) <= 64}
    found = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[found[0]] if found else None


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """ ", did you mean 'gated'?" or nothing."""
    near = nearest(name, names)
    return f", did you mean {near!r}?" if near else ""


def listing(names: Iterable[object], most: int = 30) -> str:
    """a, b, c, ... in one line."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:most] + (["..."] if len(shown) > most else [])) or "nothing"


def in_words(value: object) -> str:
    """A value as a message names it: "the text '8'", "true", "a list"; unprintable characters escaped, long texts cut."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"


def quoted(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[: most - 3] + "...")


def _order(diagnostic: Diagnostic) -> tuple[str, int, int]:
    return diagnostic.position.order if diagnostic.position else (diagnostic.file, 0, 0)


def _underlined(position: Position) -> tuple[str, str]:
    """The line and its caret, cut around the place where the line is long."""
    line = position.source.line(position.line).replace("\t", " ")
    start = position.column - 1
    end = position.end_column - 1 if position.end_line == position.line else len(line.rstrip())
    end = max(end, start + 1)
    if len(line) > WIDTH:
        first = max(0, start - WIDTH // 3)
        line, start, end = line[first : first + WIDTH], start - first, min(end - first, WIDTH)
    return line, " " * _columns(line[:start]) + "^" * max(_columns(line[start:end]), 1)


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) != 0 for character in text)
