"""Latency, size and peak memory of the files as they are written, in a fresh interpreter that has nothing but the runtime.

They are facts of this machine at this moment: measurements.json is the one file of a package that two exports do not share.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mmspec
from mmspec.deploy.cases import plain_case
from mmspec.deploy.contract import Contract
from mmspec.deploy.external import serialised
from mmspec.deploy.parity import Runnable
from mmspec.deploy.runtimes import name_of, on_cuda_here
from mmspec.deploy.target import Target
from mmspec.errors import Failure
from mmspec.openvino_runtime import hint_of

LIMIT_S = 600.0  # of the whole process
Files = Mapping[str, bytes]  # by name


@dataclass(frozen=True)
class Measured:
    """What `mmspec.clock` found; nothing where the device is not here, and `note` says so.

    by_batch      median_ms, p95_ms, least_ms, processor_ms and runs, by batch size; begin_ms and step_ms of what writes a text
    peak_bytes    of the process;   before_bytes: before the files were loaded
    """

    runtime: str
    threads: int
    processor: str
    file_bytes: int
    by_batch: Mapping[str, Mapping[str, float]]
    peak_bytes: int | None
    before_bytes: int | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"format": 1, **vars(self)}


def written(files: Runnable, accessories: Files, beside: bool = False) -> dict[str, bytes]:
    """What is written, by name; weights beside the files where it is asked for."""
    return {**serialised(files.protos, beside), **accessories}


def measured(target: Target, contract: Contract, files: Files) -> Measured:
    """Time the files as the target asks.   Raises Failure: the process did not finish"""
    size = sum(len(content) for content in files.values())
    if target.device == "cuda" and not on_cuda_here(target):
        return Measured("onnxruntime on CUDA", 0, "", size, {}, None, None, "not measured on CUDA here: no such device")
    found = timed(target, contract, [(files, runtime_of(target))])
    return Measured(
        name_of(target), target.measure.threads, found["processor"], size, found["folders"][0], found["peak_bytes"],
        found["before_bytes"],
    )  # fmt: skip


def timed(target: Target, contract: Contract, several: Sequence[tuple[Files, str]]) -> dict[str, Any]:
    """What `mmspec.clock` says of several models, each in its runtime, that are run in turn.   Raises Failure"""
    batches = target.measured_batches
    with tempfile.TemporaryDirectory() as home:
        folders = []
        for i, (files, runtime) in enumerate(several):
            folder = Path(home) / str(i)
            folder.mkdir()
            folders.append((str(folder), runtime))
            for name, content in files.items():
                (folder / name).write_bytes(content)
        inputs = {}
        for batch in batches:
            case = plain_case(contract, batch, seed=0)
            inputs[str(batch)] = str(Path(home) / f"{batch}.npz")
            arrays = {port.name: tensor.numpy() for port, tensor in zip(contract.inputs, case.inputs, strict=True)}
            np.savez(inputs[str(batch)], **arrays)  # type: ignore[arg-type]  # its stub has one keyword of its own
        request = Path(home) / "request.json"
        asked = {"folders": folders, "threads": target.measure.threads}
        request.write_text(json.dumps({**asked, "runs": target.measure.runs, "inputs": inputs}), encoding="utf-8")
        return _answer(request)


def _answer(request: Path) -> dict[str, Any]:
    paths = os.pathsep.join(filter(None, (str(Path(mmspec.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "mmspec.clock", str(request)]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, check=True, env=os.environ | {"PYTHONPATH": paths}
        )
        answer: dict[str, Any] = json.loads(found.stdout)
    except subprocess.CalledProcessError as error:
        raise Failure(f"the files could not be timed: {' '.join(error.stderr.split())[-300:]}") from error
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise Failure(f"the files could not be timed: {error}") from error
    return answer


def runtime_of(target: Target) -> str:
    """The target's runtime as the clock calls it."""
    if target.runtime == "openvino":
        return hint_of(target.precision)
    return "cuda" if target.device == "cuda" else "onnxruntime"
