"""The engines of a package as the model: a function of its inputs by name.

    model = load()                            # of the package that this file lies in, after build.py
    model({"image": pixels})["label"]

Needs tensorrt, numpy, and torch with CUDA, which holds the arrays on the GPU; nothing of mmspec. Stages are run by the host that
lies beside their ONNX files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

Values = dict[str, Any]  # arrays by name
Run = Callable[[Mapping[str, Any]], Values]


def load(folder: Path | None = None, runtime: Callable[[bytes], Run] | None = None) -> Run:
    """The model whose plan.json lies in a folder, by default in this file's.   runtime: what makes a function of an engine"""
    home, runtime = folder or Path(__file__).resolve().parent, runtime or session
    engines = json.loads((home / "plan.json").read_text(encoding="utf-8"))["engines"]
    runs = {Path(file).name: runtime((home / each["engine"]).read_bytes()) for file, each in engines.items()}
    if len(runs) == 1:
        return next(iter(runs.values()))
    files = (home / next(iter(engines))).parent
    found = spec_from_file_location("host", files / "host.py")
    assert found is not None and found.loader is not None
    host = module_from_spec(found)
    found.loader.exec_module(host)
    model: Run = host.Host(json.loads((files / "stages.json").read_text(encoding="utf-8")), runs)
    return model


def session(content: bytes) -> Run:
    """An engine as a function that picks its inputs out of what it is given.

    Raises   RuntimeError: not an engine of this TensorRT and GPU; a shape outside of those it was built for; an output whose size
             only the run would tell
    """
    import tensorrt as trt
    import torch

    types = {
        trt.float32: torch.float32, trt.float16: torch.float16, trt.bfloat16: torch.bfloat16, trt.int64: torch.int64,
        trt.int32: torch.int32, trt.bool: torch.bool,
    }  # fmt: skip
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        raise RuntimeError("TensorRT cannot read the engine: it is of another version, or of another GPU")
    context = engine.create_execution_context()
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    outputs = [name for name in names if name not in inputs]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def run(values: Mapping[str, Any]) -> Values:
        with torch.cuda.stream(stream):
            held = {name: torch.from_numpy(np.ascontiguousarray(values[name])).cuda() for name in inputs}
            for name, tensor in held.items():
                if not context.set_input_shape(name, tuple(tensor.shape)):
                    raise RuntimeError(f"the engine takes no {name} of {list(tensor.shape)}")
                context.set_tensor_address(name, tensor.data_ptr())
            for name in outputs:
                shape = tuple(context.get_tensor_shape(name))
                if min(shape, default=0) < 0:
                    raise RuntimeError(f"the size of {name} is known only after the run")
                held[name] = torch.empty(shape, dtype=types[engine.get_tensor_dtype(name)], device="cuda")
                context.set_tensor_address(name, held[name].data_ptr())
            if not context.execute_async_v3(stream.cuda_stream):
                raise RuntimeError("TensorRT could not run the engine; its own messages are above")
            found = {name: held[name].cpu().numpy() for name in outputs}
        return found

    return run
