"""OpenVINO on the CPU: the second opinion on a float32 file, and what the targets for it run. Needs numpy and openvino only.

It computes in bfloat16 by default on processors that have it; here its precision is always said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from mmspec.errors import UserError
from mmspec.host import Run, Values

Load = Callable[[bytes | str, int], Run]


def installed() -> bool:
    return find_spec("openvino") is not None


def require() -> None:
    """Raise UserError, with the line that installs it, unless OpenVINO is there."""
    if not installed():
        raise UserError("this target runs in OpenVINO, which is not installed: pip install openvino")


def version() -> str:
    return metadata.version("openvino")


def openvino(precision: str = "f32") -> Load:
    """The runtime with its arithmetic in `f32` or `bf16`; products whose operands are quantised are of integers in either."""

    def load(content: bytes | str, threads: int) -> Run:
        import openvino as ov

        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = ov.Core()
        model = core.read_model(content)
        inputs, outputs = ([port.get_any_name() for port in ports] for ports in (model.inputs, model.outputs))
        compiled = core.compile_model(model, "CPU", settings)  # whose ports may have the names of inner values as well
        request = compiled.create_infer_request()

        def run(values: Mapping[str, Any]) -> Values:
            found = request.infer({name: values[name] for name in inputs})
            return {name: found[i].copy() for i, name in enumerate(outputs)}

        return run

    return load
