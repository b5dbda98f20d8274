"""A package's files as a function of a batch, in the runtime that they were exported for."""

from __future__ import annotations

from pathlib import Path

from mmspec.errors import UserError
from mmspec.host import STAGES, Host, Load, Run, session
from mmspec.openvino_runtime import hint_of, openvino, require
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
    load = _load_of(runtime, precision)
    folder = package / ONNX
    try:
        staged = (folder / STAGES).is_file()
        return Host.load(folder, threads, load) if staged else load(str(folder / MODEL), threads)
    except Exception as error:  # each runtime has exceptions of its own
        raise UserError(f"{runtime} cannot open the files in {folder}: {str(error).splitlines()[0]}") from error


def _load_of(runtime: str, precision: str) -> Load:
    if runtime == "onnxruntime":
        return session
    if runtime == "openvino":
        require()
        return openvino(hint_of(precision))
    raise UserError(f"runtime {runtime!r} is not run here; what is: {', '.join(RUNTIMES)}")
