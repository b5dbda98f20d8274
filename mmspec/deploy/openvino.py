"""OpenVINO as a runtime on the CPU: the second opinion on an fp32 file, and what the targets for it run.

It computes in bfloat16 by default on processors that have it; each Load here says its precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from mmspec.deploy.file import Load
from mmspec.errors import UserError
from mmspec.host import Run, Values


def installed() -> bool:
    return find_spec("openvino") is not None


def require() -> None:
    """Raise UserError, with the line that installs it, unless OpenVINO is there."""
    if not installed():
        raise UserError("this target runs in OpenVINO, which is not installed: pip install openvino")


def version() -> str:
    return metadata.version("openvino")


def openvino(precision: str = "f32") -> Load:
    """The runtime with its arithmetic in `f32` or `bf16`; products whose operands are quantised are integers in either."""

    def load(content: bytes, threads: int) -> Run:
        import openvino as ov

        core = ov.Core()
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        model = core.read_model(content)
        compiled = core.compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
        inputs = [port.get_any_name() for port in compiled.inputs]
        outputs = [port.get_any_name() for port in compiled.outputs]

        def run(values: Mapping[str, Any]) -> Values:
            found = request.infer({name: values[name] for name in inputs})
            return {name: found[i].copy() for i, name in enumerate(outputs)}

        return run

    return load
