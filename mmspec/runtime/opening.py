"""A package's files as a function of a batch, in the runtime and on the device that they were exported for."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mmspec.errors import UserError
from mmspec.host import CUDA, STAGES, Host, Load, NoProvider, Run, session
from mmspec.openvino_runtime import hint_of, openvino, require
from mmspec.packaged.layout import ONNX
from mmspec.writer import Writer

MODEL = "model.onnx"
FORMS = ("conditions", "stages", "writer")  # of contract.json
RUNTIMES = ("onnxruntime", "openvino")
DEVICES = ("cpu", "cuda")


def open_model(package: Path, form: str, runtime: str, device: str, precision: str, threads: int) -> Run:
    """The one file, the host of its stages, or the writer; `threads` for each file, 0 for as many as there are cores.

    Raises   UserError: a form of package that is not run here; a runtime or device that is unknown, or not there; files that are
             missing, or that it cannot read.
    """
    if form not in FORMS:
        raise UserError(f"{package} is a package of form {form!r}; what is run here: {', '.join(FORMS)}")
    load = _load_of(runtime, device, precision)
    folder = package / ONNX
    try:
        if form == "writer":
            return Writer.load(folder, threads, load)
        staged = (folder / STAGES).is_file()
        return Host.load(folder, threads, load) if staged else load(str(folder / MODEL), threads)
    except NoProvider as error:
        told = "pip install 'onnxruntime-gpu[cuda,cudnn]' brings its libraries, device='cpu' does without"
        raise UserError(f"{package} is not run on {device} here: {error}; {told}") from error
    except Exception as error:  # each runtime has exceptions of its own
        raise UserError(f"{runtime} cannot open the files in {folder}: {str(error).splitlines()[0]}") from error


def _load_of(runtime: str, device: str, precision: str) -> Load:
    if device not in DEVICES:
        raise UserError(f"device is {' or '.join(DEVICES)}, not {device!r}")
    if runtime == "onnxruntime":
        return partial(session, providers=CUDA) if device == "cuda" else session
    if runtime == "openvino":
        if device == "cuda":
            raise UserError("OpenVINO is run on a cpu; on cuda runs: onnxruntime")
        require()
        return openvino(hint_of(precision))
    raise UserError(f"runtime {runtime!r} is not run here; what is: {', '.join(RUNTIMES)}")
