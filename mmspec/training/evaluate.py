"""Metrics from the user's own code: for those who train and judge a built model themselves.

    evaluate: {command: [python, judge.py, --fast], timeout_s: 600}       the built folder's path is appended
    evaluate: {python: "judge:accuracy_of"}                               called with the folder's path

A command answers with a JSON object on the last line of its output, a function returns such a mapping. A spec never
runs code; a study may, because its author wrote this line into it: read a stranger's study before running it.
"""

import json
import math
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from mmspec.errors import UserError


class Evaluation(BaseModel):
    """A command or a function, exactly one of them."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    command: list[str] | None = Field(None, min_length=1, description="program and arguments; no shell is involved")
    python: str | None = Field(None, pattern=r"^[\w.]+:\w+$", description="package.module:function")
    timeout_s: PositiveFloat = Field(3600.0, description="a command is stopped after so many seconds")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.command is None) == (self.python is None):
            raise ValueError("evaluate wants either a command or a python function")
        return self

    def metrics(self, folder: str | Path, beside: str | Path = ".") -> dict[str, Any]:
        """What the user's code says about a built folder.

        beside   the folder of the file that says `evaluate`: a command starts there, a module may lie there

        Raises   UserError: it cannot be started, failed, took too long, or gave no JSON object of finite numbers.
        """
        folder, beside = Path(folder).resolve(), Path(beside).resolve()
        if self.command is not None:
            return _from_command([*self.command, str(folder)], beside, self.timeout_s)
        assert self.python is not None
        return _from_function(self.python, folder, beside)


def _from_command(command: list[str], beside: Path, timeout_s: float) -> dict[str, Any]:
    name = f"evaluate: {command[0]}"
    try:
        process = subprocess.Popen(
            command,
            cwd=beside,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that what it starts is stopped with it
        )
    except OSError as error:
        raise UserError(f"{name} cannot be started: {error.strerror}") from error
    try:
        out, talk = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise UserError(f"{name} was stopped: it took more than {timeout_s:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        said = "\n".join(f"  | {line}" for line in talk.strip().splitlines()[-5:])
        raise UserError(f"{name} failed with exit code {process.returncode}" + (f"\n{said}" if said else ""))
    lines = out.strip().splitlines()
    if not lines:
        raise UserError(f"{name} printed nothing; its last line must be a JSON object of metrics")
    try:
        return _checked(json.loads(lines[-1]), name)
    except ValueError:
        raise UserError(f"{name}: the last line is not a JSON object: {lines[-1]:.80}") from None


def _from_function(path: str, folder: Path, beside: Path) -> dict[str, Any]:
    module_name, function_name = path.split(":")
    name = f"evaluate: {path}"
    sys.path.insert(0, str(beside))
    try:
        try:
            function = getattr(import_module(module_name), function_name)
        except (ImportError, AttributeError) as error:
            raise UserError(f"{name} cannot be imported: {error}") from error
        try:
            result = function(folder)
        except Exception as error:  # the user's code: whatever it raises is theirs to mend
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.filename}:{frame.lineno}"
            raise UserError(f"{name} raised {type(error).__name__}: {error} ({place})") from error
    finally:
        sys.path.remove(str(beside))
    return _checked(result, name)


def _checked(metrics: Any, name: str) -> dict[str, Any]:
    if not isinstance(metrics, Mapping) or not all(isinstance(key, str) for key in metrics):
        raise UserError(f"{name} gave {type(metrics).__name__}; a mapping of names to numbers is wanted")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(metrics)))
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} gave what is not JSON: {error}") from error
    for key, value in plain.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name}: {key} is {value}; a finite number is wanted")
    return plain
