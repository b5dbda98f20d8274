"""Colours where there are some: on a terminal, unless NO_COLOR is set. A user's text is only ever text."""

from __future__ import annotations

import os
import shutil
from typing import IO, Any

WIDE = 120  # columns of a sentence


class Ink:
    """Styles for one stream; each returns its text unchanged where there are no colours."""

    def __init__(self, stream: IO[Any]) -> None:
        terminal = hasattr(stream, "isatty") and stream.isatty()
        self.coloured = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.width = shutil.get_terminal_size().columns if terminal else None  # a pipe takes lines of any length

    def wrapped(self, text: str, label: str = "") -> list[str]:
        """A sentence in lines, indented, behind a label such as "note:"."""
        import textwrap

        first = f"  {label} " if label else "  "
        found = textwrap.wrap(
            text, min(self.width or WIDE, WIDE), initial_indent=first, subsequent_indent=" " * len(first)
        )
        if label and found:
            found[0] = f"  {self.yellow(label)} {found[0][len(first) :]}"
        return found

    def bold(self, text: str) -> str:
        return self._in("1", text)

    def dim(self, text: str) -> str:
        return self._in("2", text)

    def red(self, text: str) -> str:
        return self._in("1;31", text)

    def green(self, text: str) -> str:
        return self._in("32", text)

    def blue(self, text: str) -> str:
        return self._in("34", text)

    def yellow(self, text: str) -> str:
        return self._in("33", text)

    def diagnostic(self, line: str) -> str:
        """A line of a located error: the word, the place and the caret stand out."""
        if line.startswith("error:"):
            return self.red("error:") + self.bold(line[6:])
        gutter, bar, rest = line.partition("|")
        if bar and set(gutter) <= set(" 0123456789"):
            return self.blue(gutter + bar) + (self.red(rest) if rest.strip().startswith("^") else rest)
        head = line.lstrip()
        if head.startswith("--> "):
            return self.blue(line[: -len(head) + 4]) + head[4:]
        return line

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.coloured and text else text
