"""A model repository for Triton: one model, or one for each stage and the one in Python that runs them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files as resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from mmspec import host
from mmspec.deploy.addition import Addition
from mmspec.deploy.cases import plain_case
from mmspec.deploy.contract import Contract
from mmspec.deploy.file import FILE, loaded
from mmspec.deploy.target import Target
from mmspec.deploy.triton.config import can_batch, config, parse, problems, text
from mmspec.deploy.triton.options import Triton
from mmspec.errors import Failure
from mmspec.host import STAGES, Host, Run, Values, session

if TYPE_CHECKING:
    import onnx

FOLDER = "triton"
WARM = 7  # seed of what the first run computes
Arrays = Mapping[str, np.ndarray]


def model_name(file: str, name: str) -> str:
    """By which Triton knows a file: the model's, and for a stage its own after it."""
    return name if file == FILE else f"{name}_{PurePosixPath(file).stem}"


def addition(
    name: str,
    protos: Mapping[str, onnx.ModelProto],
    contracts: Mapping[str, Contract],
    whole: Contract,
    target: Target,
    plan: Mapping[str, Any] | None,
) -> Addition:
    """The repository.

    protos, contracts   of each file, by its name
    whole               what the model as a whole takes and gives
    plan                of stages, what stages.json holds

    Raises   Failure: a configuration is not what its file has, or Triton's protobuf does not read it
    """
    assert target.serving is not None and target.serving.triton is not None
    options = target.serving.triton
    warm = _inputs(protos, whole, plan)
    models = {
        model_name(file, name): _of_file(file, proto, contracts[file], name, target, options, warm[file])
        for file, proto in protos.items()
    }
    if plan is not None:
        models[name] = _of_host(protos, whole, name, options, plan)
    files = {f"{FOLDER}/{model}/{path}": data for model, held in models.items() for path, data in held.items()}
    configs = {path: data for path, data in files.items() if path.endswith("config.pbtxt")}
    checked = _checked(configs, protos, name)
    batches = f"up to {whole.batch_limit} samples at a time" if can_batch(whole) else "batches as they are sent"
    told = (
        "agrees with its file, as Triton's own protobuf reads it"
        if checked
        else "was not read by Triton's protobuf: no tritonclient"
    )
    engines = ["the engines, 1/model.plan of each, are what tensorrt/build.py writes"] * (target.runtime == "tensorrt")
    words = (
        f"a repository for Triton: tritonserver --model-repository={FOLDER}; {', '.join(sorted(models))}; {batches}",
        f"config.pbtxt of each {told}",
        *engines,
    )
    return Addition("triton", files, {"models": sorted(models), "checked_by_protobuf": checked}, words)


def _of_file(
    file: str, proto: onnx.ModelProto, contract: Contract, name: str, target: Target, options: Triton, warm: Arrays
) -> dict[str, bytes]:
    """A model of ONNX Runtime or TensorRT, by path in its folder; an engine is put there by what builds it."""
    engine = target.runtime == "tensorrt"
    fields = config(
        model_name(file, name),
        contract,
        options,
        backend="tensorrt" if engine else "onnxruntime",
        batched=file == FILE and can_batch(contract),
        kind="cpu" if target.device == "cpu" else "gpu",
        warm={key: array.shape for key, array in warm.items()},
    )
    held = {"config.pbtxt": text(fields).encode()} | {f"warmup/{key}": array.tobytes() for key, array in warm.items()}
    return held if engine else held | {"1/model.onnx": proto.SerializeToString(deterministic=True)}


def _of_host(
    protos: Mapping[str, onnx.ModelProto], whole: Contract, name: str, options: Triton, plan: Mapping[str, Any]
) -> dict[str, bytes]:
    """The model in Python. It is not warmed up: what it calls may not be there yet when it is loaded, and is warmed up itself."""
    fields = config(name, whole, options, backend="python", batched=can_batch(whole), kind="cpu")
    models = {
        file: {
            "name": model_name(file, name),
            "inputs": [value.name for value in proto.graph.input],
            "outputs": [value.name for value in proto.graph.output],
        }
        for file, proto in protos.items()
    }
    return {
        "config.pbtxt": text(fields).encode(),
        "1/model.py": resources("mmspec.deploy.triton").joinpath("backend.py").read_bytes(),
        "1/host.py": Path(host.__file__).read_bytes(),
        f"1/{STAGES}": _json(plan),
        "1/models.json": _json(models),
    }


def _inputs(
    protos: Mapping[str, onnx.ModelProto], whole: Contract, plan: Mapping[str, Any] | None
) -> Mapping[str, Arrays]:
    """By file, inputs of one sample as they come there in a run in which nobody leaves early."""
    given = dict(
        zip((port.name for port in whole.inputs), (t.numpy() for t in plain_case(whole, 1, WARM).inputs), strict=True)
    )
    if plan is None:
        return {FILE: given}
    met: dict[str, Arrays] = {}

    def watched(file: str, proto: onnx.ModelProto) -> Run:
        run, names = loaded(proto, session), [value.name for value in proto.graph.input]

        def watching(values: Mapping[str, Any]) -> Values:
            met[file] = {name: np.ascontiguousarray(values[name]) for name in names}
            return run(values)

        return watching

    staying = {**plan, "thresholds": [np.inf] * len(plan["thresholds"])}
    Host(staying, {file: watched(file, proto) for file, proto in protos.items()})(given)
    return met


def _checked(configs: Mapping[str, bytes], protos: Mapping[str, onnx.ModelProto], name: str) -> bool:
    """Whether there was something to check them with.   Raises Failure."""
    by_model = {model_name(file, name): proto for file, proto in protos.items()}
    for path, content in configs.items():
        parsed = parse(content.decode())
        if parsed is None:
            return False
        wrong = (
            [f"  {problem}" for problem in problems(parsed, by_model[parsed.name])] if parsed.name in by_model else []
        )
        if wrong:
            raise Failure(f"{path} does not describe its file; nothing was written:\n" + "\n".join(wrong))
    return True


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=2) + "\n").encode()
