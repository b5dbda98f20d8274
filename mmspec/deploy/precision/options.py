"""What a target may ask of precision, and which runtime can do what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from mmspec.deploy.record import Record

POSSIBLE: Mapping[tuple[str, str], tuple[str, ...]] = {  # precisions by device and runtime
    ("cpu", "onnxruntime"): ("fp32", "int8", "int4"),
    ("cpu", "openvino"): ("fp32", "bf16", "int8"),
    ("cuda", "onnxruntime"): ("fp32", "fp16"),
    ("cuda", "tensorrt"): ("fp32", "fp16", "int8"),
}
QUANTISED = ("int8", "int4")
OUTPUTS = {
    "fp16": 0.01,
    "bf16": 0.05,
    "int8": 0.1,
    "int4": 0.3,
}  # allowed error of outputs unless a target says otherwise
TOKENS = {"fp16": 0.02, "bf16": 0.1, "int8": 0.1, "int4": 0.4}  # and share of tokens that would be others


class Quantisation(Record):
    """How numbers become integers."""

    activations: Literal["dynamic", "static"] | None = Field(
        None,
        description="int8: the range of what a layer reads is found as the file runs, or known beforehand from examples "
        "(always for OpenVINO and TensorRT, by default dynamic for ONNX Runtime)",
    )
    examples: Literal["data", "random"] = Field(
        "data", description="static: what ranges are found on, the task's training split or random inputs"
    )
    samples: PositiveInt = Field(256, description="static: how many examples")
    search: bool = Field(
        False,
        description="leave in float32 the groups of layers without which the metric loss is kept, the fastest way",
    )


class Loss(Record):
    """What fewer bits than float32 may cost."""

    outputs: PositiveFloat | None = Field(
        None,
        description="largest error of an output: the norm of the difference over the norm of the output, over all samples; by "
        "default 0.01 for fp16, 0.05 for bf16, 0.1 for int8, 0.3 for int4",
    )
    exits: NonNegativeFloat = Field(0.1, le=1, description="largest share of samples that leave at another exit")
    tokens: NonNegativeFloat | None = Field(
        None, le=1,
        description="decoding: cache: largest share of the tokens of written texts that would be others; by default 0.02 for "
        "fp16, 0.1 for bf16 and int8, 0.4 for int4",
    )  # fmt: skip
    metric: NonNegativeFloat | None = Field(
        0.005, description="largest loss of validation accuracy, of trained models; null: it is not measured"
    )


class Measure(Record):
    """What is timed, in a process of its own."""

    batches: list[PositiveInt] = Field(
        [1], min_length=1, description="batch sizes; the smallest, if nothing is said of measuring"
    )
    threads: PositiveInt = Field(1, description="threads of the runtime")
    runs: PositiveInt = Field(50, description="runs of each, fewer where they would take more than a few seconds")
