"""A package's files as a function of a batch, in the runtime and on the device that they were exported for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmspec.errors import UserError
from mmspec.host import CPU, CUDA, STAGES, Host, NoProvider, Run, session
from mmspec.openvino_runtime import openvino, require
from mmspec.packaged.layout import ONNX
from mmspec.writer import PLAN, Writer

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
    load = _load_of(runtime, device, precision, threads)
    folder = package / ONNX
    try:
        if form == "writer":
            plan = _plan(folder / PLAN)
            return Writer(plan, {name: load(folder / name) for name in filter(None, plan["files"].values())})
        if not (folder / STAGES).is_file():
            return load(folder / MODEL)
        plan = _plan(folder / STAGES)
        files = plan["files"]
        names = [files["beginning"], *files["exits"], *([files["end"]] if files["end"] else [])]
        return Host(plan, {name: load(folder / name) for name in names})
    except NoProvider as error:
        told = "pip install 'onnxruntime-gpu[cuda,cudnn]' brings its libraries, device='cpu' does without"
        raise UserError(f"{package} is not run on {device} here: {error}; {told}") from error
    except Exception as error:  # each runtime has exceptions of its own
        raise UserError(f"{runtime} cannot open the files in {folder}: {str(error).splitlines()[0]}") from error


def _plan(path: Path) -> Mapping[str, Any]:
    plan: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return plan


def _load_of(runtime: str, device: str, precision: str, threads: int) -> Callable[[Path], Run]:
    if device not in DEVICES:
        raise UserError(f"device is {' or '.join(DEVICES)}, not {device!r}")
    if runtime == "onnxruntime":
        providers = CUDA if device == "cuda" else CPU
        return lambda path: session(str(path), threads, providers)
    if runtime == "openvino":
        if device == "cuda":
            raise UserError("OpenVINO is run on a cpu; on cuda runs: onnxruntime")
        require()
        load = openvino("bf16" if precision == "bf16" else "f32")
        return lambda path: load(path.read_bytes(), threads)
    raise UserError(f"runtime {runtime!r} is not run here; what is: {', '.join(RUNTIMES)}")
