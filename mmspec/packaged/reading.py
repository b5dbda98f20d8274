"""Reading what somebody else may have written: plain files only, no more of one than is asked for, nothing that runs code."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmspec.packaged.layout import CONTRACT, MANIFEST
from mmspec.packaged.manifest import identity, sha256_of

JSON_BYTES = 1 << 24
ENTRIES = 20_000  # files and folders that a package may have


class Unfit(Exception):
    """What makes it pointless to look further, in one line."""


def read_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object of a bounded file.   Raises Unfit."""
    try:
        state = os.lstat(path)
        if not stat.S_ISREG(state.st_mode):
            raise Unfit(f"{name} is no plain file")
        if state.st_size > JSON_BYTES:
            raise Unfit(f"{name} has {state.st_size:,} bytes, where {JSON_BYTES:,} are the most that is read")
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise Unfit(f"{name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise Unfit(f"{name} is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise Unfit(f"{name} is not a JSON object")
    return record


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, whose paths stay inside of the folder.   Raises Unfit: there is none, or it is not ours."""
    record = read_json(folder / MANIFEST, MANIFEST)
    files = record.get("files")
    if record.get("format") != 1 or not isinstance(files, dict) or not isinstance(record.get("runs"), str):
        raise Unfit(f"{MANIFEST} is none of format 1: it needs format, runs and files")
    for path, said in files.items():
        if not is_inside(path):
            raise Unfit(f"{MANIFEST} names {path!r}, which is no path inside of the package")
        known = said if isinstance(said, Mapping) else {}
        size, digest = known.get("bytes"), known.get("sha256")
        if type(size) is not int or size < 0 or not isinstance(digest, str) or len(digest) != 64:
            raise Unfit(f"{MANIFEST} gives {path} no bytes and sha256")
    return record


def read_contract(folder: Path) -> dict[str, Any]:
    """The contract, with what is read of it of the right kind.   Raises Unfit."""
    record = read_json(folder / CONTRACT, CONTRACT)
    for kind in ("inputs", "outputs"):
        if not isinstance(record.get(kind), dict):
            raise Unfit(f"{CONTRACT} has no {kind} by name")
        for name, port in record[kind].items():
            known = port if isinstance(port, Mapping) else {}
            if not isinstance(known.get("dtype"), str) or not isinstance(known.get("dims"), list):
                raise Unfit(f"{CONTRACT} gives {name} no dtype and dims")
            if kind == "outputs" and not _is_tolerance(known.get("tolerance")):
                raise Unfit(f"{CONTRACT} does not say how far {name} may be off: tolerance needs absolute and relative")
    if not isinstance(record.get("thresholds", {}), dict):
        raise Unfit(f"{CONTRACT} has no thresholds by name")
    ranges = record.get("ranges", {})
    if not isinstance(ranges, dict) or not all(_is_range(said) for said in ranges.values()):
        raise Unfit(f"{CONTRACT} has no ranges by name, each of a least and a largest number")
    return record


def _is_range(said: object) -> bool:
    pair = said if isinstance(said, list) and len(said) == 2 else [None]
    return all(isinstance(each, int | float) and math.isfinite(each) for each in pair)


def _is_tolerance(said: object) -> bool:
    limits = [said.get(name) for name in ("absolute", "relative")] if isinstance(said, Mapping) else [None]
    return all(isinstance(limit, int | float) and math.isfinite(limit) and limit >= 0 for limit in limits)


def is_inside(path: str) -> bool:
    """A relative path, written plainly, that leads nowhere else."""
    parts = path.split("/")
    plain = len(path) <= 400 and path.isprintable() and not any(sign in path for sign in '\\:*?"<>|')
    return plain and not any(part in ("", ".", "..") for part in parts)


def changed_files(folder: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """What is not as the manifest says, by file."""
    files = manifest["files"]
    found = dict(_walk(folder))
    for name, told in found.items():
        if told is not None:
            yield f"{name} is {told}; a package holds plain files"
        elif name not in files and name != MANIFEST:
            yield f"{name} is not in {MANIFEST}"
    for name in sorted(files):
        if name not in found:
            yield f"{name} is missing"
            continue
        if found[name] is not None:
            continue
        size, wanted = (folder / name).lstat().st_size, files[name]["bytes"]
        if size != wanted:
            yield f"{name} has {size:,} bytes, where {MANIFEST} says {wanted:,}"
        elif sha256_of(folder / name, wanted) != files[name]["sha256"]:
            yield f"{name} was changed: its sha256 is not the one in {MANIFEST}"
    if identity(files) != manifest.get("identity"):
        yield f"{MANIFEST} was changed: its identity is not that of the files it names"


def _walk(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Everything but folders, by path; of what is no plain file, what it is.   Raises Unfit: too much of it."""
    count, waiting = 0, [""]
    while waiting:
        inner = waiting.pop()
        with os.scandir(folder / inner) as entries:
            for entry in entries:
                count += 1
                if count > ENTRIES:
                    raise Unfit(f"more than {ENTRIES:,} files and folders")
                name = f"{inner}/{entry.name}" if inner else entry.name
                if entry.is_symlink():
                    yield name, "a link"
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                else:
                    yield name, None if entry.is_file(follow_symlinks=False) else "a device, pipe or socket"
