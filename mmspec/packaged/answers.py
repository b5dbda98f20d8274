"""The golden answers, asked for once more: the files that run, on the inputs that lie in the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from mmspec.host import STAGES, Host, Run, session
from mmspec.packaged.layout import GOLDEN, ONNX
from mmspec.packaged.reading import Unfit

GOLDEN_BYTES = 1 << 28


def compared(folder: Path, runs: str, contract: Mapping[str, Any], errors: dict[str, float]) -> Iterator[str]:
    """Cases whose answers are further off than the contract allows; the largest error of each output goes into `errors`."""
    size = (folder / GOLDEN).stat().st_size
    if size > GOLDEN_BYTES:
        raise Unfit(f"{GOLDEN} has {size:,} bytes, where {GOLDEN_BYTES:,} are the most that is read")
    arrays = safetensors.numpy.load((folder / GOLDEN).read_bytes())
    run: Run = Host.load(folder / ONNX, threads=1) if runs.endswith(f"/{STAGES}") else session(str(folder / runs), 1)
    cases = sorted({name.split(".", 1)[0] for name in arrays})
    if not cases:
        yield f"{GOLDEN} holds no case"
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
            errors[name] = max(errors.get(name, 0.0), float(error.max(initial=0.0)))
            if not (error <= np.maximum(allowed["absolute"], allowed["relative"] * np.abs(a))).all():
                yield f"golden case {case}: {name} is off by {errors[name]:.3g}, where {allowed['absolute']:g} is allowed"
