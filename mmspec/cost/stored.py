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


KEYS = {"name": str, "sizes": dict, "parameters": dict, "flops": dict, "memory": dict, "nodes": list}


def is_stored(path: str) -> bool:
    """Whether a path names a profile rather than a spec."""
    return path.endswith(".json") and not Path(path).is_dir()


def stored(path: str) -> dict[str, Any]:
    """What `Profile.to_dict` gave.

    Raises   SpecError, located: the file cannot be read, is no profile, or is one of another schema version
    """
    try:
        source = Source(path, Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise SpecError([Diagnostic(f"cannot read the profile: {why}", file=path)]) from error
    data = _data(source)
    if not isinstance(data, dict) or "schema" not in data:
        raise _refused(source, "this is not a profile: it has no schema version")
    if data["schema"] != SCHEMA:
        said = f"version {data['schema']}, and this mmspec reads and writes version {SCHEMA}"
        note = "write it anew: mmspec profile SPEC -o FILE"
        raise SpecError([Diagnostic(f"this profile is of schema {said}", _version(source), (note,), file=path)])
    for key, kind in KEYS.items():
        if key not in data:
            raise _refused(source, f"this is not a whole profile: it has no {key}")
        if not isinstance(data[key], kind):
            raise _refused(source, f"this is not a whole profile: {key} is something else")
    if not all(isinstance(size, int) and size > 0 for size in data["sizes"].values()):
        raise _refused(source, "this is not a whole profile: sizes is something else")
    if not _are_lines(data["nodes"], "name"):
        raise _refused(source, "this is not a whole profile: nodes is something else")
    return data


def _data(source: Source) -> Any:
    try:
        return json.loads(source.text)
    except RecursionError as error:
        raise _refused(source, "this is not a profile: it is nested too deeply") from error
    except json.JSONDecodeError as error:
        place = Position(source, error.lineno, error.colno, error.lineno, error.colno + 1)
        said = f"this is not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        raise SpecError([Diagnostic(said, place)]) from error
    except ValueError as error:  # a number of too many digits
        raise _refused(source, f"this is not a profile: {error}") from error


def _refused(source: Source, message: str) -> SpecError:
    return SpecError([Diagnostic(message, file=source.name, notes=(WRITTEN,))])


def _are_lines(lines: Any, key: str) -> bool:
    """Whether these are nodes, or what is inside them, each with its name."""
    return isinstance(lines, list) and all(
        isinstance(line, dict) and isinstance(line.get(key), str) and _are_lines(line.get("children", []), "path")
        for line in lines
    )


def _version(source: Source) -> Position | None:
    """Where the version is written."""
    text = source.text
    found = re.search(r'^ {0,2}"schema"\s*:\s*([^,}\s]+)', text, re.M) or re.search(r'"schema"\s*:\s*([^,}\s]+)', text)
    if found is None:
        return None
    line = text.count("\n", 0, found.start(1)) + 1
    column = found.start(1) - text.rfind("\n", 0, found.start(1))
    return Position(source, line, column, line, column + len(found[1]))
