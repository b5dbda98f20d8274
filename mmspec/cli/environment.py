"""The version, and those of what it runs on, from installed metadata: nothing is imported."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import mmspec

PARTS = (
    "torch", "numpy", "pydantic", "pyyaml", "click", "rich", "safetensors", "optuna", "scikit-learn", "matplotlib", "Pillow",
    "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu",
)  # fmt: skip
INSTEAD = {"onnxruntime": "onnxruntime-gpu", "onnxruntime-gpu": "onnxruntime"}  # one of the two is enough


def lines() -> Iterator[str]:
    found = {part: _version(part) for part in PARTS}
    yield f"mmspec {mmspec.__version__}"
    yield f"  {'python':16} {platform.python_version()} ({platform.system()} {platform.machine()})"
    for part, number in found.items():
        if number or not found.get(INSTEAD.get(part, ""), ""):
            yield f"  {part:16} {number or 'not installed'}"


def _version(part: str) -> str:
    try:
        return version(part)
    except PackageNotFoundError:
        return ""
