"""A profile that was written to a file, read back as plain data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mmspec.cost.profile import SCHEMA
from mmspec.spec import Diagnostic, SpecError
from mmspec.spec.source import Position, Source

WRITTEN = "`mmspec profile SPEC -o profile.json` writes one"


def is_stored(path: str) -> bool:
    """Whether a path names a profile rather than a spec."""
    return path.endswith(".json") and not Path(path).is_dir()


def stored(path: str) -> dict[str, Any]:
    """What `Profile.to_dict` gave.

    Raises   SpecError, located: the file cannot be read, is no profile, or is one of another schema version
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise SpecError([Diagnostic(f"cannot read the profile: {why}", file=path)]) from error
    source = Source(path, text)
    try:
        data = json.loads(text)
    except ValueError as error:
        line, column = (error.lineno, error.colno) if isinstance(error, json.JSONDecodeError) else (1, 1)
        said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        place = Position(source, line, column, line, column + 1)
        raise SpecError([Diagnostic(f"this is not JSON: {said[:1].lower()}{said[1:]}", place)]) from error
    if not isinstance(data, dict) or "schema" not in data:
        raise SpecError([Diagnostic("this is not a profile: it has no schema version", file=path, notes=(WRITTEN,))])
    if data["schema"] != SCHEMA:
        message = (
            f"this profile is of schema version {data['schema']}, and this mmspec reads and writes version {SCHEMA}"
        )
        note = "write it anew: mmspec profile SPEC -o FILE"
        raise SpecError([Diagnostic(message, _version(source, text), (note,), file=path)])
    if missing := [key for key in ("name", "sizes", "parameters", "flops", "memory", "nodes") if key not in data]:
        raise SpecError(
            [Diagnostic(f"this is not a whole profile: it has no {missing[0]}", file=path, notes=(WRITTEN,))]
        )
    return data


def _version(source: Source, text: str) -> Position | None:
    """Where the version is written."""
    found = re.search(r'^ {0,2}"schema"\s*:\s*([^,}\s]+)', text, re.M) or re.search(r'"schema"\s*:\s*([^,}\s]+)', text)
    if found is None:
        return None
    line = text.count("\n", 0, found.start(1)) + 1
    column = found.start(1) - text.rfind("\n", 0, found.start(1))
    return Position(source, line, column, line, column + len(found[1]))
