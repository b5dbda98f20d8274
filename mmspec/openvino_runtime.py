"""OpenVINO on the CPU: the second opinion on a float32 file, and what the targets for it run. Needs numpy and openvino only.

It computes in bfloat16 by default on processors that have it; here its precision is always said, and what decides is in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from mmspec.errors import UserError
from mmspec.host import Load, Run, Values
from mmspec.openvino_deciding import keep_deciding


def installed() -> bool:
    return find_spec("openvino") is not None


def require() -> None:
    """Raise UserError, with the line that installs it, unless OpenVINO is there."""
    if not installed():
        raise UserError("this target runs in OpenVINO, which is not installed: pip install openvino")


def version() -> str:
    return metadata.version("openvino")


def hint_of(precision: str) -> str:
    """What OpenVINO is told of a package's precision: products whose operands are quantised are of integers in either."""
    return "bf16" if precision == "bf16" else "f32"


def in_float32(file: str | bytes) -> frozenset[str]:
    """The values of a file, by name, that are computed in float32 whatever the precision, since they decide."""
    import openvino as ov

    core = ov.Core()
    return keep_deciding(core, core.read_model(file))


def openvino(hint: str = "f32") -> Load:
    """The runtime with its arithmetic in `f32` or `bf16`."""

    def load(file: str | bytes, threads: int) -> Run:
        import openvino as ov

        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = ov.Core()
        model = core.read_model(file)
        inputs, outputs = ([port.get_any_name() for port in ports] for ports in (model.inputs, model.outputs))
        if hint != "f32":
            keep_deciding(core, model)
        compiled = core.compile_model(model, "CPU", settings)  # whose ports may have the names of inner values as well
        request = compiled.create_infer_request()

        def run(values: Mapping[str, Any]) -> Values:
            found = request.infer({name: values[name] for name in inputs})  # copies: they outlive the next call
            return {name: found[i] for i, name in enumerate(outputs)}

        return run

    return load
