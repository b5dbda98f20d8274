"""The host loop: runs a model that was exported as stages, so that what runs the files needs no control flow.

    model = Host.load("package")
    model({"image": pixels})["label"]        # and "label.exit": at which exit each sample left

    beginning        inputs -> what enters the stack: carried, shared, memory
    exit 0, 1, ...   carried, shared, memory of the samples that go on -> carried, answer, score, memory
                     a sample leaves at the first exit whose threshold its score exceeds; the others are gathered and go on
    end              carried and answer of each sample at its exit -> outputs

stages.json beside the files says which file is which, the thresholds, and what becomes of each value. This file needs numpy and
onnxruntime, and nothing else of mmspec: a copy of it lies in every such package.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

Values = dict[str, Any]  # arrays by name
Run = Callable[[Mapping[str, Any]], Values]
Load = Callable[[str | bytes, int], Run]  # a runtime: the path of a file or what is in it, and a number of threads
Provider = str | tuple[str, Mapping[str, str]]  # of ONNX Runtime, with its options

CPU: Sequence[Provider] = ("CPUExecutionProvider",)
# float32 is float32: by default, products on CUDA keep ten bits of it
CUDA: Sequence[Provider] = (("CUDAExecutionProvider", {"use_tf32": "0"}), *CPU)

STAGES = "stages.json"  # the plan, beside the files
AFTER = "_after"  # ends the name of a value that an exit hands on
ANSWER, SCORE, EXIT = "stack.answer", "stack.score", "stack.exit"


class NoProvider(RuntimeError):
    """What should run a file is not on this machine."""


class Host:
    """The model as a function of its inputs by name, any batch size.

    plan   what stages.json holds:
             files       beginning, exits (in order), end (null: there is nothing to do)
             thresholds  one for each exit but the last, float32
             carried     values that go from exit to exit
             shared      values that are the same at all exits; those in `whole` are one for all samples
             memory      what is remembered of each sample
             kept        of carried and answer, what is asked for after the stack
             outputs     the outputs, and which value each of them is
    runs   each file as a function, by name; it takes what it needs of the values it is given
    """

    def __init__(self, plan: Mapping[str, Any], runs: Mapping[str, Run]) -> None:
        files = plan["files"]
        self.plan = plan
        self.beginning, self.exits = runs[files["beginning"]], [runs[name] for name in files["exits"]]
        self.end = runs[files["end"]] if files["end"] else None
        self.thresholds = np.array(plan["thresholds"], np.float32)

    @classmethod
    def load(cls, folder: str | Path, threads: int = 0, load: Load | None = None) -> Host:
        """The stages in a folder; `threads` for each file, 0 for as many as there are cores; `load`, where not ONNX Runtime."""
        read = partial(session, together=True) if load in (None, session) else load
        plan = json.loads((Path(folder) / STAGES).read_text(encoding="utf-8"))
        files = plan["files"]
        names = [files["beginning"], *files["exits"], *([files["end"]] if files["end"] else [])]
        return cls(plan, {name: read(str(Path(folder) / name), threads) for name in names})

    def __call__(self, inputs: Mapping[str, Any]) -> Values:
        """The outputs by name."""
        values = {**inputs, **self.beginning(inputs)}
        values |= self.through_exits(values)
        if self.end is not None:
            values |= self.end(values)
        return {name: values[source] for name, source in self.plan["outputs"].items()}

    def through_exits(self, values: Mapping[str, Any]) -> Values:
        """What is kept of each sample at its exit, and the exit's number i64[B]."""
        plan = self.plan
        follows = [*plan["carried"], *plan["memory"]]
        here = {name: values[name] for name in (*follows, *plan["shared"])}
        batch = len(here[follows[0]])
        rows = np.arange(batch)  # the samples that go on
        left = np.zeros(batch, np.int64)
        found: Values = {}
        for exit, run in enumerate(self.exits):
            after = run(here)
            left[rows] = exit
            for name in plan["kept"]:
                now = after[name if name == ANSWER else name + AFTER]
                if len(rows) == batch:
                    found[name] = now
                else:
                    found[name][rows] = now
            if exit == len(self.thresholds):
                break
            on = np.flatnonzero(~(after[SCORE] > self.thresholds[exit]))  # one whose score is no number goes on
            if len(on) == 0:
                break
            here |= {name: after[name + AFTER] for name in follows if name + AFTER in after}
            if len(on) < len(rows):
                rows = rows[on]
                here = {name: value if name in plan["whole"] else value[on] for name, value in here.items()}
        return {**found, EXIT: left}


def session(file: str | bytes, threads: int = 0, providers: Sequence[Provider] = CPU, together: bool = False) -> Run:
    """A file in ONNX Runtime, by default on the CPU, as a function that picks its inputs out of what it is given.

    together   with the others of this process that say so it works in the same memory, which it finds warm, and which the process
               keeps: for files that run one after the other

    Raises   NoProvider: the first of them is not there (ONNX Runtime itself only warns, and takes the next); or what ONNX Runtime
             raises on a file that it cannot read.
    """
    import onnxruntime

    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if wanted not in onnxruntime.get_available_providers():
        raise NoProvider(f"this onnxruntime has no {wanted}; it has {', '.join(onnxruntime.get_available_providers())}")
    reason = _preloaded() if wanted.startswith("CUDA") else ""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if together:
        _common_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
    runtime = onnxruntime.InferenceSession(file, options, providers=list(providers))
    if wanted not in runtime.get_providers():
        raise NoProvider(f"ONNX Runtime finds no card, or not the libraries, that {wanted} needs{reason}")
    inputs, outputs = ([value.name for value in ends] for ends in (runtime.get_inputs(), runtime.get_outputs()))

    def run(values: Mapping[str, Any]) -> Values:
        return dict(zip(outputs, runtime.run(outputs, {name: values[name] for name in inputs}), strict=True))

    return run


@cache
def _common_memory() -> None:
    """One arena of ONNX Runtime on the CPU, for all sessions that ask for the environment's allocators."""
    import onnxruntime as ort

    about = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(about, None)


def _preloaded() -> str:
    """CUDA's libraries as pip installs them, which are on no path of the system; or why ONNX Runtime did not find one, after a
    colon. It prints, and logs, what it lacks: here it is the error that says so."""
    import onnxruntime

    told = io.StringIO()
    onnxruntime.set_default_logger_severity(4)
    if hasattr(onnxruntime, "preload_dlls"):  # 1.21
        with contextlib.redirect_stdout(told):
            onnxruntime.preload_dlls()
    lines = told.getvalue().splitlines()
    return f": {lines[0]}" if lines else ""
