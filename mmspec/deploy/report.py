"""What an export did and what was proved of it."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmspec import __version__
from mmspec.deploy.addition import Addition
from mmspec.deploy.contract import Contract
from mmspec.deploy.file import FILE, operators
from mmspec.deploy.measurement import Measured
from mmspec.deploy.parity import Parity
from mmspec.deploy.subject import Subject
from mmspec.deploy.target import Target
from mmspec.packaged.layout import BESIDE, ONNX

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Report:
    """An export that passed. `to_dict` is what verification.json holds: the same for the same export, without times and paths.

    folder      where the package lies
    weights     where the weights come from; `trained` says whether a training of ours made them
    licence     of weights and data: files in the package, or "not stated"
    file        of what is run: its path in the package, bytes, sha256, opset, ir_version, nodes, parameters, operators
    structure   what was checked before the file ran
    seconds     wall time of each step
    beside      what the target asked for beside the files
    measurements  latency and memory here, which are no part of `to_dict`
    """

    folder: Path
    model: str
    spec_sha256: str
    weights: str
    licence: str
    trained: bool
    accuracy: float | None
    target: Target
    contract: Contract
    file: Mapping[str, Any]
    structure: tuple[str, ...]
    parity: Parity
    environment: Mapping[str, str]
    seconds: Mapping[str, float] = field(default_factory=dict)
    beside: tuple[Addition, ...] = ()
    measurements: Measured | None = None

    @property
    def path(self) -> Path:
        """The ONNX file; of stages, what says how their files connect."""
        return self.folder / str(self.file["name"])

    @property
    def max_error(self) -> float:
        """The largest absolute error of any output in any case."""
        return max(self.parity.max_error.values(), default=0.0)

    def facts(self) -> dict[str, Any]:
        """What the manifest says beside the files."""
        return {
            "model": self.model,
            "runs": self.file["name"],
            "provenance": {
                "spec_sha256": self.spec_sha256,
                "weights": self.weights,
                "licence_of_weights_and_data": self.licence,
                "trained": self.trained,
                "target": self.target.name,
                "precision": self.target.precision,
            },
            "versions": dict(self.environment),
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": 1,
            "passed": True,
            "model": {
                "name": self.model,
                "spec_sha256": self.spec_sha256,
                "weights": self.weights,
                "licence_of_weights_and_data": self.licence,
                "trained": self.trained,
                "accuracy": self.accuracy,
            },
            "target": {"name": self.target.name, **self.target.model_dump()},
            "file": dict(self.file),
            "structure": list(self.structure),
            "parity": self.parity.to_dict(),
            "environment": dict(self.environment),
            **{addition.name: dict(addition.facts) for addition in self.beside},
        }


def file_facts(proto: onnx.ModelProto, parts: Mapping[str, bytes], weights: Mapping[str, Any]) -> dict[str, Any]:
    """What can be counted in a file: `operators` by name, branches included. `parts`: it, and weights that lie beside it."""
    counts = operators(proto)
    return {
        "name": f"{ONNX}/{FILE}",
        "bytes": sum(map(len, parts.values())),
        "sha256": sha256(b"".join(parts.values())),
        "opset": proto.opset_import[0].version,
        "ir_version": proto.ir_version,
        "nodes": sum(counts.values()),
        "parameters": sum(array.size for array in weights.values()),
        "operators": dict(sorted(counts.items())),
    }


def files_facts(
    protos: Mapping[str, onnx.ModelProto], contents: Mapping[str, bytes], weights: Mapping[str, Any], plan: str = FILE
) -> dict[str, Any]:
    """The same of one file; of several together, which `plan` connects, with the bytes and the sha256 of each."""
    parts = {name: {part: contents[part] for part in (name, name + BESIDE) if part in contents} for name in protos}
    facts = [file_facts(proto, parts[name], weights) for name, proto in protos.items()]
    if len(facts) == 1:
        return facts[0]
    counts = sum((operators(proto) for proto in protos.values()), start=Counter[str]())
    return facts[0] | {
        "name": f"{ONNX}/{plan}",
        "files": {name: {"bytes": len(content), "sha256": sha256(content)} for name, content in contents.items()},
        "bytes": sum(map(len, contents.values())),
        "sha256": sha256(b"".join(contents.values())),
        "nodes": sum(counts.values()),
        "operators": dict(sorted(counts.items())),
    }


def structure_checks(weights: int, thresholds: int, conditions: int, loops: int, opset: int) -> tuple[str, ...]:
    """What `problems_of` has made sure of, in words."""
    exits = (
        f"halting stacks: {thresholds}, their thresholds are initialisers; earlier exits: {conditions}, each an If node"
    )
    return (
        f"valid ONNX by its checker, with shapes inferred; only operators of ai.onnx {opset}",
        "inputs and outputs by name, type and dimensions as in contract.json; every dynamic dimension symbolic",
        f"all {weights} parameters that an output depends on are in the file under their own names, bit for bit the model's, and "
        "lead to an output, those of every expert included",
        *([exits] if thresholds else []),
        *([f"adaptive computation: {loops}, each a Loop node"] if loops else []),
        "no stack traces, no paths, nothing outside the file",
    )


def accuracy_of(subject: Subject) -> float | None:
    """On validation, as training measured it."""
    validation = (subject.metrics or {}).get("validation")
    accuracy = validation.get("accuracy") if isinstance(validation, Mapping) else None
    return float(accuracy) if isinstance(accuracy, int | float) else None


def environment() -> dict[str, str]:
    """What made and ran the file."""
    packages = {"torch": "torch", "onnx": "onnx", "onnxscript": "onnxscript"}
    versions = {name: metadata.version(package) for name, package in packages.items()}
    import onnxruntime

    return {
        "mmspec": __version__,
        **versions,
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
