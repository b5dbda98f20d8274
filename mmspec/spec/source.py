"""Where a text came from, and places in it.

A source is a file, or something shorter that a user typed (`--set fusion.joint.depth=4`). Lines and columns count from 1, columns
in characters.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

BYTES_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A text and its name. `via` says how its values came into a spec ("--set", "variant small") where the place alone does not."""

    name: str
    text: str
    via: str = ""

    def line(self, number: int) -> str:
        lines = self.text.split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""


class Position(NamedTuple):
    """A stretch of a source, from (line, column) up to but without (end_line, end_column)."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    @property
    def order(self) -> tuple[str, int, int]:
        return self.source.name, self.line, self.column


def read_bytes(path: str | Path) -> bytes:
    """The content of a file, refused by its size before it is read.

    Raises   OSError, whose `strerror` says why: missing, a folder, not permitted, too large.
    """
    with Path(path).open("rb") as file:
        status = Path(path).stat()
        if stat.S_ISREG(status.st_mode) and status.st_size > BYTES_LIMIT:
            raise OSError(0, _too_large(f"{status.st_size:,} bytes"))
        content = file.read(BYTES_LIMIT + 1)  # a pipe or a device has no size of its own
    if len(content) > BYTES_LIMIT:
        raise OSError(0, _too_large(f"more than {BYTES_LIMIT:,} bytes"))
    return content


def _too_large(found: str) -> str:
    return f"it has {found}; at most {BYTES_LIMIT:,} are read"
