"""The manifest: what a package consists of, to the byte.

    format      1
    model       its name; provenance: where spec and weights come from; versions of what made it
    runs        what is run: the ONNX file, or the plan of its stages
    identity    sha256 over the names and sha256 of all files but measurements.json: two packages of one identity are the same,
                byte for byte, wherever they were measured
    files       by path, of every file but the manifest itself: bytes, sha256

Nothing else in it depends on when or where it was written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmspec.packaged.layout import MANIFEST, MEASUREMENTS

CHUNK = 1 << 20


def manifest_of(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of what lies in a folder; `facts` are what else it says."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }
    return {"format": 1, **facts, "identity": identity(files), "files": files}


def identity(files: Mapping[str, Mapping[str, Any]]) -> str:
    """The sha256 of lines "sha256  path", by path, as `sha256sum` writes them."""
    lines = (f"{files[path]['sha256']}  {path}\n" for path in sorted(files) if path != MEASUREMENTS)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256_of(path: Path, size: int | None = None) -> str:
    """Of a file, no link; at most `size` bytes of it are read."""
    digest = hashlib.sha256()
    left = size
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        while chunk := file.read(CHUNK if left is None else min(CHUNK, left)):
            digest.update(chunk)
            left = None if left is None else left - len(chunk)
    return digest.hexdigest()
