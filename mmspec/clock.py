"""Times written files, in a process that does nothing else: no torch, nothing of the compiler.

    python -m mmspec.clock request.json

The request names folders, each with model.onnx, or with stages.json or writer.json and their files, and its runtime; and an .npz
of inputs by name for each batch size. The answer, JSON on stdout, has a row for each folder and batch. Folders are run in turn, so
that what else the machine does falls on all of them alike. What writes a text reads that of the inputs, step by step.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mmspec.host import CUDA, STAGES, Host, Load, Run, session
from mmspec.openvino_runtime import openvino
from mmspec.writer import PLAN, Writer

FILE = "model.onnx"
WARM_UP, LEAST_RUNS = 3, 5
SECONDS = 4.0  # of runs of one batch size, all folders together


def main(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request: `folders`, each with its runtime ("onnxruntime", "cuda"; "bf16" or "f32" of OpenVINO), `threads`,
    `runs`, `inputs` (a path by batch)."""
    loads = [load_of(runtime) for _, runtime in request["folders"]]
    before = peak_bytes()
    models = [
        opened(Path(folder), load, request["threads"])
        for (folder, _), load in zip(request["folders"], loads, strict=True)
    ]
    rows = {batch: timed(models, dict(np.load(path)), request["runs"]) for batch, path in request["inputs"].items()}
    return {
        "processor": processor(),
        "peak_bytes": peak_bytes(),
        "before_bytes": before,
        "folders": [{batch: each[i] for batch, each in rows.items()} for i in range(len(models))],
    }


def load_of(runtime: str) -> Load:
    """The runtime, imported."""
    if runtime in ("f32", "bf16"):
        import_module("openvino").Core()
        return openvino(runtime)
    import_module("onnxruntime")
    return partial(session, providers=CUDA) if runtime == "cuda" else session


def opened(folder: Path, load: Load, threads: int) -> Run:
    """The model in a folder."""
    if (folder / PLAN).is_file():
        return Writer.load(folder, threads, load)
    if (folder / STAGES).is_file():
        return Host.load(folder, threads, load)
    return load(str(folder / FILE), threads)


def timed(models: Sequence[Run], inputs: Mapping[str, Any], most: int) -> list[dict[str, float]]:
    """Milliseconds of each model: median, 95th percentile, least; processor time (of all threads; median), which other programs do
    not lengthen; and how many runs. Of what writes, `begin_ms` and `step_ms` as well."""
    for model in models:
        for _ in range(WARM_UP):
            model(inputs)
    seconds: list[list[float]] = [[] for _ in models]
    busy: list[list[float]] = [[] for _ in models]
    end = time.perf_counter() + SECONDS
    while len(seconds[0]) < most and (len(seconds[0]) < LEAST_RUNS or time.perf_counter() < end):
        for model, spent, worked in zip(models, seconds, busy, strict=True):
            start, began = time.perf_counter(), time.process_time()
            model(inputs)
            worked.append(time.process_time() - began)
            spent.append(time.perf_counter() - start)
    return [
        {
            **(parts_of(model, inputs, len(spent)) if isinstance(model, Writer) else {}),
            "median_ms": round(1e3 * float(np.median(spent)), 4),
            "p95_ms": round(1e3 * float(np.quantile(spent, 0.95)), 4),
            "least_ms": round(1e3 * min(spent), 4),
            "processor_ms": round(1e3 * float(np.median(worked)), 4),
            "runs": len(spent),
        }
        for model, spent, worked in zip(models, seconds, busy, strict=True)
    ]


def parts_of(model: Writer, inputs: Mapping[str, Any], runs: int) -> dict[str, float]:
    """Of what writes: the median to begin with half of the text, all that comes before it included, and of a step after it."""
    ids, present = inputs[model.text], inputs[model.mask]
    places = np.flatnonzero(np.isin(ids, model.plan["places"]).any(axis=0))
    tokens = ids.shape[1]
    half = max((tokens + 1) // 2, int(places.max(initial=-1)) + 1)
    beginning = {**inputs, model.text: ids[:, :half], model.mask: present[:, :half]}
    began, stepped = [], []
    for _ in range(runs):
        start = time.perf_counter()
        _, state = model.begin(beginning, np.full(len(ids), half - 1))
        began.append(time.perf_counter() - start)
        for place in range(min(half, tokens - 1), tokens):
            start = time.perf_counter()
            _, state = model.go_on(state, ids[:, place], np.full(len(ids), place))
            stepped.append(time.perf_counter() - start)
    return {
        name: round(1e3 * float(np.median(spent)), 4) for name, spent in (("begin_ms", began), ("step_ms", stepped))
    }


def peak_bytes() -> int:
    """The most memory that this program has had. Linux counts what a process was before it became this program as its own in
    `ru_maxrss`, and not in VmHWM."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
