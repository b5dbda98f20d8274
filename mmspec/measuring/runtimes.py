"""A model in each of the runtimes that it can be measured in, as a function of nothing that runs it once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.backend import serving_form
from mmspec.deploy.draft import draft_of
from mmspec.deploy.file import with_arrays
from mmspec.deploy.package import require_packages
from mmspec.deploy.subject import Subject
from mmspec.deploy.target import Target, load_target
from mmspec.deploy.watching import stacks_of
from mmspec.errors import Failure, UserError
from mmspec.measuring.operations import go_on
from mmspec.spec import ModelSpec

RUNTIMES = ("torch", "serving", "compile", "onnx")
TITLES = {
    "torch": "torch", "serving": "torch, serving form", "compile": "torch.compile", "onnx": "ONNX Runtime",
}  # fmt: skip
TARGET = "edge_cpu_fp32"
Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Ready:
    """A runtime with the model in it. `prepared` seconds went into making it; `difference` is the largest between its outputs and
    torch's."""

    name: str
    run: Callable[[], Any]
    prepared: float = 0.0
    difference: float | None = None


class Missing(Exception):
    """Why a runtime cannot be had here, in one line."""


def eager(model: nn.Module, inputs: Mapping[str, Tensor]) -> Ready:
    def run() -> Any:
        with torch.inference_mode():
            return model(**inputs)

    return Ready("torch", run)


def served(spec: ModelSpec, model: nn.Module, inputs: Mapping[str, Tensor], expected: Outputs) -> Ready:
    """The form for inference alone, with the same weights, operation by operation."""
    began = time.perf_counter()
    module = serving_form(spec, model.state_dict()).to(next(iter(inputs.values())).device)
    go_on(module)
    ready = eager(module, inputs)
    made = ready.run()
    return Ready("serving", ready.run, time.perf_counter() - began, _difference(made, expected))


def compiled(model: nn.Module, inputs: Mapping[str, Tensor], expected: Outputs) -> Ready:
    """Raises Missing"""
    if next(iter(inputs.values())).device.type == "cpu":
        _require_compiler()
    began = time.perf_counter()
    program = torch.compile(model, dynamic=False)

    def run() -> Any:
        with torch.inference_mode():
            return program(**inputs)

    try:
        made = run()
    except Exception as error:  # the compiler's own kinds, which share no base
        raise Missing(f"torch.compile fails: {_first_line(error)}") from error
    return Ready("compile", run, time.perf_counter() - began, _difference(made, expected))


def _require_compiler() -> None:
    """Inductor writes C++ for processors, and has it compiled."""
    from torch._inductor import config
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        if shutil.which(found := str(get_cpp_compiler())) is None:
            raise Missing(f"torch.compile needs a C++ compiler, and there is no {found} here")
    except InvalidCxxCompiler as error:
        tried = [name for name in (config.cpp.cxx if isinstance(config.cpp.cxx, tuple) else (config.cpp.cxx,)) if name]
        raise Missing(f"torch.compile needs a C++ compiler: none of {', '.join(tried)} is here") from error


def exported(spec: ModelSpec, model: nn.Module, inputs: Mapping[str, Tensor], expected: Outputs, threads: int) -> Ready:
    """The file that `mmspec export` would write, unproved, its exits shut, in ONNX Runtime on the processor.

    Raises   Missing
    """
    import numpy as np

    began = time.perf_counter()
    try:
        require_packages()
        draft = draft_of(Subject(spec, model.state_dict(), "measured"), _target(len(next(iter(inputs.values())))))
    except (Failure, UserError) as error:
        raise Missing(_first_line(error)) from error
    stacks = stacks_of(draft.module)
    shut = {f"{name}.thresholds": np.full(stack.earlier, np.inf, np.float32) for name, stack in stacks.items()}
    try:
        session = _session(with_arrays(draft.proto, shut) if shut else draft.proto, threads)
    except Exception as error:  # the runtime's own kinds, and protobuf's of files beyond 2 GB
        raise Missing(f"ONNX Runtime cannot load the exported file: {_first_line(error)}") from error
    feed: dict[str, Any] = {}
    for port in draft.contract.inputs:
        if port.name in inputs:
            feed[port.name] = inputs[port.name].numpy()
        else:  # a mask, which torch takes from the ids
            ids = inputs[port.name.removesuffix("_mask")]
            feed[port.name] = np.ones(tuple(ids.shape), bool)
    names = [value.name for value in session.get_outputs()]

    def run() -> Any:
        return session.run(None, feed)

    made = {name: torch.from_numpy(array) for name, array in zip(names, run(), strict=True)}
    return Ready("onnx", run, time.perf_counter() - began, _difference(made, expected))


def _target(batch: int) -> Target:
    target = load_target(TARGET)
    size = target.shapes.batch
    if size.max is not None and batch > size.max:
        shapes = target.shapes.model_copy(update={"batch": size.model_copy(update={"max": batch})})
        target = target.model_copy(update={"shapes": shapes})
    return target


def _session(proto: Any, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _difference(made: Outputs, expected: Outputs) -> float | None:
    """The largest between outputs of the same name; None where none is a number of both."""
    both = [
        (made[name].detach().float().cpu(), value.detach().float().cpu())
        for name, value in expected.items()
        if isinstance(value, Tensor) and value.is_floating_point() and isinstance(made.get(name), Tensor)
    ]
    return max((float((a - b).abs().max()) for a, b in both if a.numel()), default=None)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
