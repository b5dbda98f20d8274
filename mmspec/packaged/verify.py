"""Is a package what it says it is? Asked of one that somebody else made, and of every one before it is at its place.

The work is done in a process of its own, with bounds on memory and time, which may write no file; a file that makes a parser
crash or grow ends that process, and is a problem like any other. Nothing of a package is executed but its ONNX files.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmspec.errors import UserError

MEMORY, COPIES = 4 << 30, 6  # bytes of address space: Python and a runtime, and so many times the package
SECONDS = 300  # of processor time
SHOWN = 1 << 20  # bytes of an answer
LINE = 500  # signs of a problem


@dataclass(frozen=True)
class Verification:
    """What was found. `checked` says what was made sure of; `errors` by output, the largest over the golden answers."""

    folder: Path
    model: str | None
    identity: str | None
    checked: list[str]
    problems: list[str]
    errors: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        return {"format": 1, "passed": self.passed, **asdict(self), "folder": str(self.folder)}


def verify(folder: str | Path, memory: int | None = None, seconds: int = SECONDS) -> Verification:
    """Check a package's files, structure, external data and golden answers.

    memory    bytes of address space; 4 GiB and six times the package by default
    seconds   of processor time, and as much again on the clock times four

    Raises   UserError: it is no folder.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; a package is one")
    if memory is None:
        memory = MEMORY + COPIES * sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    home = str(Path(__file__).resolve().parents[2])
    given = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([home, *given]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
    # -P: what lies where the command was typed, a package's own `onnx` folder among it, must not be imported
    command = [sys.executable, "-P", "-m", "mmspec.packaged.judging", str(folder), str(memory), str(seconds)]
    try:
        done = subprocess.run(command, cwd="/", env=environment, capture_output=True, timeout=4 * seconds, check=False)
    except subprocess.TimeoutExpired:
        return _failed(folder, f"it was not read within {4 * seconds} seconds")
    try:
        return _heard(folder, json.loads(done.stdout[:SHOWN]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return _failed(folder, _end(done.returncode, done.stderr, seconds))


def _heard(folder: Path, said: Mapping[str, Any]) -> Verification:
    """What the judge said. Names of files and tensors among it are whatever their author wanted a terminal to read."""
    model, identity = (None if said[name] is None else plain(said[name]) for name in ("model", "identity"))
    checked, problems = ([plain(text) for text in said[name]] for name in ("checked", "problems"))
    errors = {plain(name): float(error) for name, error in said["errors"].items() if math.isfinite(error)}
    return Verification(folder, model, identity, checked, problems, errors)


def plain(text: object) -> str:
    """As one line that can be printed anywhere, of bounded length: what cannot is written out, as Python does."""
    line = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))
    return line if len(line) <= LINE else f"{line[:LINE]} ..."


def _end(code: int, told: bytes, seconds: int) -> str:
    """How the process ended that said nothing."""
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"it was not read within {seconds} seconds of processor time, or needs too much memory"
    if code < 0:
        return f"reading it ended with {signal.Signals(-code).name}"
    lines = told.decode(errors="replace").strip().splitlines() or [f"exit {code}"]
    return f"reading it failed: {lines[-1][:300]}"


def _failed(folder: Path, problem: str) -> Verification:
    return Verification(folder, None, None, [], [problem])
