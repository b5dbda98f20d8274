"""What runs a target's files here, and what gives a second opinion on them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata

import torch

from mmspec import openvino_runtime as second
from mmspec.deploy.file import Load
from mmspec.deploy.target import Target
from mmspec.host import CUDA, Run, session


def load_of(target: Target) -> Load:
    """The target's runtime in the target's precision. CUDA's where there is a device; else the same file is run on the CPU."""
    if target.runtime == "openvino":
        return second.openvino(second.hint_of(target.precision))
    return on_cuda if on_cuda_here(target) else session


def float32_load_of(target: Target) -> Load:
    """The same runtime in float32, in which a file that is float32 is what it says."""
    return second.openvino("f32") if target.runtime == "openvino" else load_of(target)


def on_cuda_here(target: Target) -> bool:
    return target.device == "cuda" and torch.cuda.is_available()


def on_cuda(content: str | bytes, threads: int) -> Run:
    """A file in ONNX Runtime on CUDA."""
    return session(content, threads, CUDA)


def name_of(target: Target) -> str:
    """What ran the target's files here, in words."""
    version = second.version() if target.runtime == "openvino" else metadata_of("onnxruntime")
    if target.runtime == "openvino":
        return f"openvino {version} on a cpu, inference precision {second.hint_of(target.precision)}"
    return f"onnxruntime {version} on {'CUDA' if on_cuda_here(target) else 'a cpu'}"


def metadata_of(module: str) -> str:
    """The version of a package that several distributions bring."""
    packages: Mapping[str, list[str]] = metadata.packages_distributions()
    return metadata.version(packages[module][0])
