"""A manifest as a table: CSV with a header, or JSON Lines with an object per line, in UTF-8.

Cells are text. In JSON Lines a whole number stands for its digits, `true` and `false` for these words, and `null` for a
missing cell. What is wrong with a row is collected with its line, as an editor counts lines, and told at once.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mmspec.errors import UserError

SHOWN = 20  # problems that fit on a screen


@dataclass(frozen=True)
class Row:
    """line: where it begins in the file, counted from 1."""

    line: int
    cells: dict[str, str]


@dataclass
class Problems:
    """What is wrong with a manifest, by line."""

    path: Path
    found: list[tuple[int, str]] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def add(self, line: int, message: str) -> None:
        self.found.append((line, message))

    def refuse(self, rows: int) -> None:
        """Raise UserError with the first of them by line and the number of all, if there are any."""
        if not self.found:
            return
        found = sorted(self.found, key=lambda problem: problem[0])
        lines = [f"{self.path}: {_count(len(found), 'problem')} in {_count(rows, 'row')}; nothing was started"]
        lines += [f"  {self.path.name}:{line}: {message}" for line, message in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"  and {len(found) - SHOWN:,} more")
        raise UserError("\n".join([*lines, *(f"  = {hint}" for hint in self.hints)]))


def read_table(path: Path, problems: Problems) -> tuple[list[str], list[Row]]:
    """The columns and the good rows of a manifest; bad rows go to `problems`.

    Raises   UserError: it cannot be read, is not UTF-8, has no header or no rows, or its name ends otherwise.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".jsonl"):
        raise UserError(f"{path}: a manifest's name ends in .csv or .jsonl")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8 (byte 0x{error.object[error.start]:02x}); save it so") from error
    columns, rows = _csv(path, text, problems) if kind == ".csv" else _json_lines(text, problems)
    if not rows:
        problems.refuse(0)
        raise UserError(f"{path} has no rows")
    return columns, rows


def _csv(path: Path, text: str, problems: Problems) -> tuple[list[str], list[Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            start, line = line, reader.line_num + 1
            if not cells:
                continue  # an empty line
            if not header:
                header = _header(path, [cell.strip() for cell in cells])
            elif len(cells) != len(header):
                problems.add(start, f"{_count(len(cells), 'cell')} where the header has {len(header)}")
            else:
                rows.append(Row(start, {name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()}))
    except csv.Error as error:
        problems.add(line, f"{error}; the lines after it were not read")
    return header, rows


def _header(path: Path, names: list[str]) -> list[str]:
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise UserError(f"{path}:1: the cells of a manifest are separated by commas")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path}:1: the column '{twice[0]}' is there twice")
    return names


def _json_lines(text: str, problems: Problems) -> tuple[list[str], list[Row]]:
    columns: dict[str, None] = {}
    rows: list[Row] = []
    for line, source in enumerate(text.split("\n"), start=1):
        if not source.strip():
            continue
        try:
            record = json.loads(source)
        except (ValueError, RecursionError) as error:
            problems.add(line, f"not JSON: {error}")
            continue
        if not isinstance(record, dict):
            problems.add(line, "not a JSON object ({...})")
            continue
        columns |= dict.fromkeys(record)
        cells: dict[str, str] = {}
        for name, value in record.items():
            if isinstance(value, bool | int | str):
                cell = value if isinstance(value, str) else json.dumps(value)
                if cell.strip():
                    cells[name] = cell
            elif value is not None:
                problems.add(line, f"{name}: a text or a whole number is wanted, not {json.dumps(value)[:40]}")
        rows.append(Row(line, cells))
    return list(columns), rows


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names in a row, cut with their number."""
    names = [repr(name) for name in names]
    return ", ".join(names[:limit]) + (f" and {len(names) - limit:,} more" if len(names) > limit else "")
