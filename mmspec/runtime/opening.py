"""A package's files as a function of a batch, in the runtime that they were exported for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from mmspec.errors import UserError
from mmspec.host import STAGES, Host, Run, session
from mmspec.openvino_runtime import openvino, require
from mmspec.packaged.layout import ONNX

MODEL = "model.onnx"
FORMS = ("conditions", "stages")  # of contract.json
RUNTIMES = ("onnxruntime", "openvino")


def open_model(package: Path, form: str, runtime: str, precision: str, threads: int) -> Run:
    """The one file, or the host of its stages; `threads` for each file, 0 for as many as there are cores.

    Raises   UserError: a form of package that does not answer; a runtime that is unknown or not installed; files that are missing,
             or that it cannot read.
    """
    if form not in FORMS:
        raise UserError(f"{package} is a package of form {form!r}; what answers requests here: {', '.join(FORMS)}")
    load = _load_of(runtime, precision, threads)
    folder = package / ONNX
    try:
        if not (folder / STAGES).is_file():
            return load(folder / MODEL)
        plan = json.loads((folder / STAGES).read_text(encoding="utf-8"))
        files = plan["files"]
        names = [files["beginning"], *files["exits"], *([files["end"]] if files["end"] else [])]
        return Host(plan, {name: load(folder / name) for name in names})
    except Exception as error:  # each runtime has exceptions of its own
        raise UserError(f"{runtime} cannot open the files in {folder}: {str(error).splitlines()[0]}") from error


def _load_of(runtime: str, precision: str, threads: int) -> Callable[[Path], Run]:
    if runtime == "onnxruntime":
        return lambda path: session(str(path), threads)
    if runtime == "openvino":
        require()
        load = openvino("bf16" if precision == "bf16" else "f32")
        return lambda path: load(str(path), threads)
    raise UserError(f"runtime {runtime!r} is not run here; what is: {', '.join(RUNTIMES)}")
