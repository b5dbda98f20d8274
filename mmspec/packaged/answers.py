"""The golden answers, asked for once more: the files that run, in the runtime that the package is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from mmspec import openvino_runtime
from mmspec.host import STAGES, Host, Load, Run, session
from mmspec.packaged.layout import GOLDEN, ONNX
from mmspec.packaged.reading import Unfit
from mmspec.writer import PLAN, Writer

GOLDEN_BYTES = 1 << 28


class Asked(NamedTuple):
    """A runtime, and what it is called."""

    load: Load
    name: str


def asked_of(runtime: str, precision: str) -> Asked:
    """What gives the golden answers of a package: OpenVINO in the package's precision if it is for it; else ONNX Runtime on the
    CPU, of a package for CUDA or TensorRT as well, whose ONNX files are the same.

    Raises   Unfit: a runtime that is unknown or not installed. Another's answers would say nothing of the package's own.
    """
    if runtime == "openvino":
        if not openvino_runtime.installed():
            raise Unfit("its golden answers are those of OpenVINO, which is not installed here: pip install openvino")
        hint = openvino_runtime.hint_of(precision)
        return Asked(openvino_runtime.openvino(hint), f"OpenVINO {openvino_runtime.version()} in {hint}")
    if runtime not in ("onnxruntime", "tensorrt"):
        raise Unfit(f"it is for {runtime!r}, which nothing here runs")
    import onnxruntime

    return Asked(session, f"ONNX Runtime {onnxruntime.__version__} on the CPU")


def compared(
    folder: Path, runs: str, contract: Mapping[str, Any], errors: dict[str, float], load: Load
) -> Iterator[str]:
    """Cases whose answers are further off than the contract allows; the largest error of each output goes into `errors`."""
    size = (folder / GOLDEN).stat().st_size
    if size > GOLDEN_BYTES:
        raise Unfit(f"{GOLDEN} has {size:,} bytes, where {GOLDEN_BYTES:,} are the most that is read")
    arrays = safetensors.numpy.load((folder / GOLDEN).read_bytes())
    run = _run(folder, runs, load)
    cases = sorted({name.split(".", 1)[0] for name in arrays})
    if not any(arrays[f"{case}.judged"].any() for case in cases):
        yield f"{GOLDEN} has no answer to compare: no case, or close calls alone"
    for case in cases:
        inputs = {name: arrays[f"{case}.inputs.{name}"] for name in contract["inputs"]}
        found, judged = run(inputs), arrays[f"{case}.judged"]
        for name, port in contract["outputs"].items():
            wanted, answer = arrays[f"{case}.outputs.{name}"], found[name]
            if wanted.shape != answer.shape or wanted.dtype != answer.dtype:
                told = f"{answer.dtype}{list(answer.shape)}, and {wanted.dtype}{list(wanted.shape)} was promised"
                yield f"golden case {case}: {name} is {told}"
                continue
            allowed, rows = port["tolerance"], len(judged)
            a, b = (each.astype(np.float64).reshape(rows, -1)[judged] for each in (wanted, answer))
            error = np.abs(a - b)
            worst = float(error.max(initial=0.0))
            errors[name] = max(worst, errors.get(name, 0.0))
            if not (error <= np.maximum(allowed["absolute"], allowed["relative"] * np.abs(a))).all():
                yield f"golden case {case}: {name} is off by {worst:.3g}, where {allowed['absolute']:g} is allowed"


def _run(folder: Path, runs: str, load: Load) -> Run:
    """What runs, as a function of inputs by name, on one thread."""
    plan = runs.removeprefix(f"{ONNX}/")
    if plan == STAGES:
        return Host.load(folder / ONNX, 1, load)
    return Writer.load(folder / ONNX, 1, load) if plan == PLAN else load(str(folder / runs), 1)
