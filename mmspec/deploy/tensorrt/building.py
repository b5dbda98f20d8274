"""What a package for TensorRT has beside its files: the plan and scripts that build its engines; and the engines, proved like the
files, where there is a TensorRT of the target's version and a GPU."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import onnx
import torch

from mmspec.deploy.addition import Addition
from mmspec.deploy.cases import plain_case
from mmspec.deploy.contract import Contract
from mmspec.deploy.file import Load, operators
from mmspec.deploy.parity import Runnable
from mmspec.deploy.report import sha256
from mmspec.deploy.subject import Subject
from mmspec.deploy.target import Target
from mmspec.deploy.tensorrt import build, engine
from mmspec.deploy.tensorrt.operators import version_of
from mmspec.deploy.tensorrt.options import TensorRT
from mmspec.deploy.tensorrt.parsing import Finding, check_parsing, summary
from mmspec.deploy.tensorrt.profiles import profile
from mmspec.errors import UserError
from mmspec.host import Run

FOLDER, PLAN = "tensorrt", "plan.json"
RUNS = 50  # of which the median is the latency


class Draft(Protocol):
    """What is asked of files on trial."""

    @property
    def subject(self) -> Subject: ...
    @property
    def target(self) -> Target: ...
    @property
    def contract(self) -> Contract: ...
    @property
    def weights(self) -> Mapping[str, Any]: ...


Proof = tuple[dict[str, Any], tuple[str, ...]]  # what was compared, and the same in words


def check(draft: Draft, files: Runnable) -> tuple[Finding, ...]:
    """The static check.   Raises SpecError: what the parser does not take, at the lines of the spec that it comes from."""
    version = version_of(options_of(draft.target).version)
    return check_parsing(files.protos, draft.contract.dims, draft.weights, draft.subject.spec, version)


def addition(
    draft: Draft,
    files: Runnable,
    proof: Callable[[Load], Proof],
    cautions: Sequence[Finding],
    placed: Mapping[str, str],
) -> Addition:
    """What is written beside the files, engines among it if they can be built here.

    proof    the gate that the files have passed, in the runtime that it is given
    placed   where in the package each file lies, by its name

    Raises   Failure: an engine does not compute the model, or TensorRT does not take a file that its documents take
    """
    options, name = options_of(draft.target), draft.subject.spec.name
    plan = plan_of(draft, files, placed)
    content = {
        f"{FOLDER}/{PLAN}": (json.dumps(plan, indent=2) + "\n").encode(),
        f"{FOLDER}/build.py": _source(build),
        f"{FOLDER}/engine.py": _source(engine),
    }
    nodes = sum(operators(proto).total() for proto in files.protos.values())
    facts: dict[str, Any] = {"version": options.version, "cautions": [finding.to_dict() for finding in cautions]}
    words = [summary(cautions, version_of(options.version), nodes), *(f"caution: {finding}" for finding in cautions)]
    missing = why_not(options.version)
    if missing:
        told = f"not built here: {missing}"
        words.append(f"engines {told}; python {FOLDER}/build.py builds them where they will run")
        return Addition("tensorrt", content, facts | {"engines": told}, tuple(words))
    builder = Builder(draft.contract, options)
    proved, in_words = proof(builder.load)
    batch = min(options.optimum.batch, draft.contract.batch_limit)
    ms = latency_ms(files.run(builder.load), draft.contract, batch)
    engines = {
        engine_place(file, draft.target, name): builder.engine(proto.SerializeToString())
        for file, proto in files.protos.items()
    }
    facts |= {
        "engines": {path: {"bytes": len(data), "sha256": sha256(data)} for path, data in engines.items()},
        "gpu": torch.cuda.get_device_name(),
        "proof": proved,
        "latency_ms": {f"batch {batch}": ms},
    }
    words += [f"engines for {facts['gpu']}: {ms:.3g} ms at batch {batch}, copies included", *in_words]
    return Addition("tensorrt", content | engines | {f"{FOLDER}/{build.CACHE}": builder.timed}, facts, tuple(words))


def options_of(target: Target) -> TensorRT:
    assert target.tensorrt is not None, "a target of TensorRT says which"
    return target.tensorrt


def plan_of(draft: Draft, files: Runnable, placed: Mapping[str, str]) -> dict[str, Any]:
    """What build.py reads: paths are relative to its folder."""
    options, name = options_of(draft.target), draft.subject.spec.name
    engines = {
        f"../{placed[file]}": {
            "engine": str(PurePosixPath("..") / engine_place(file, draft.target, name)),
            "profile": profile(proto, draft.contract.dims, options.optimum),
        }
        for file, proto in files.protos.items()
    }
    return {"tensorrt": options.version, "workspace_mib": options.workspace_mib, "engines": engines}


def engine_place(file: str, target: Target, name: str) -> str:
    """Where in the package a file's engine lies: beside the script, or where Triton looks for it."""
    from mmspec.deploy.triton.repository import model_name

    if target.serving is not None and target.serving.triton is not None:
        return f"triton/{model_name(file, name)}/1/model.plan"
    return f"{FOLDER}/{PurePosixPath(file).stem}.plan"


def why_not(version: str) -> str:
    """Why engines cannot be built on this machine, in a few words; "" where they can."""
    reasons = []
    if find_spec("tensorrt") is None:
        reasons.append("no TensorRT")
    else:
        import tensorrt

        found = ".".join(tensorrt.__version__.split(".")[:2])
        if found != version:
            reasons.append(f"TensorRT is {found}, and the target is {version}")
    if not torch.cuda.is_available():
        reasons.append("no GPU")
    return ", ".join(reasons)


@dataclass
class Builder:
    """TensorRT as a runtime of ONNX files: builds an engine for each content that it has not seen, and runs it."""

    contract: Contract
    options: TensorRT
    timed: bytes = b""
    built: dict[str, bytes] = field(default_factory=dict)

    def load(self, content: bytes | str, threads: int) -> Run:
        """A `Load`; the GPU has no threads to be told of."""
        if isinstance(content, str):
            raise UserError("an engine is built of a file that has its weights inside, and these are more than 2 GB")
        return engine.session(self.engine(content))

    def engine(self, content: bytes) -> bytes:
        key = sha256(content)
        if key not in self.built:
            shapes = profile(onnx.load_from_string(content), self.contract.dims, self.options.optimum)
            self.built[key], self.timed = build.build(content, shapes, self.options.workspace_mib, self.timed)
        return self.built[key]


def latency_ms(run: Callable[[tuple[torch.Tensor, ...]], Any], contract: Contract, batch: int) -> float:
    """The median time of a run from arrays to arrays, copies to the GPU and back included."""
    inputs = plain_case(contract, batch, seed=0).inputs
    seconds = []
    for _ in range(RUNS + RUNS // 5):
        start = time.perf_counter()
        run(inputs)
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[-RUNS:])


def _source(module: Any) -> bytes:
    return Path(module.__file__).read_bytes()
