"""The folder that a build writes, and that training, prediction and export read.

    spec.yaml            resolved: every default written out
    model.py             the same model as stand-alone source, torch only
    model.safetensors    its weights, by our names
    profile.json         its price
    diagram.svg          its picture

A trained folder has metrics.json and data/ besides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import fx, nn

from mmspec import __version__
from mmspec.backend.build import build, build_graph, load_state
from mmspec.backend.source import source
from mmspec.components import load
from mmspec.cost import Measured, profile
from mmspec.drawing import draw
from mmspec.errors import UserError
from mmspec.files import replace_folder
from mmspec.ir import parameters
from mmspec.passes import lower, lower_serving
from mmspec.spec import ModelSpec
from mmspec.spec.weights import WHOLE, Weights

FILES = ("spec.yaml", "model.py", "model.safetensors", "profile.json", "diagram.svg")


def write_folder(
    spec: ModelSpec,
    module: nn.Module,
    out: str | Path,
    extra: Callable[[Path], None] | None = None,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """Write the folder of a built model whole, or not at all; returns what profile.json says.

    `extra(folder)` adds files before it appears; `measured` is what its price is to say of exits and experts.
    Raises   UserError: `out` is a folder that we did not write.   Failure: the disk is full.
    """
    graph = lower(spec)
    price = profile(spec, graph=graph, measured=measured)
    with replace_folder(out) as folder:
        (folder / "spec.yaml").write_text(_with_own_weights(spec).to_yaml())
        (folder / "model.py").write_text(source(graph, header(spec.name, graph.name)))
        state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
        save_file(
            state, folder / "model.safetensors", metadata={"format": "pt"}
        )  # several keys would come in any order
        (folder / "profile.json").write_text(json.dumps(price.to_dict(), indent=2) + "\n")
        (folder / "diagram.svg").write_text(draw(graph, price))
        if extra is not None:
            extra(folder)
    return price.to_dict()


def _with_own_weights(spec: ModelSpec) -> ModelSpec:
    """What began with published weights has its own now: those beside the spec."""
    closed = spec.require_closed()
    return replace(closed, weights={WHOLE: Weights(file="model.safetensors")}) if closed.weights else closed


def read_folder(path: str | Path) -> tuple[ModelSpec, nn.Module]:
    """The spec and the model, with its weights, of a folder that `write_folder` wrote.   Raises UserError, SpecError."""
    spec, weights = spec_and_weights(path)
    return spec, build(spec, weights=weights)


def read_serving(path: str | Path) -> fx.GraphModule:
    """The model of a folder in its serving form, in evaluation: heads, and where samples left.   Raises UserError, SpecError."""
    spec, weights = spec_and_weights(path)
    module = build_graph(lower_serving(spec), fresh=False)
    trained = {placed.path for placed in parameters(lower(spec))}
    load_state(module, weights, spare=trained)  # what training alone needs, such as the noise of a router
    module.meta["spec"] = spec
    return module.eval()


def spec_and_weights(path: str | Path) -> tuple[ModelSpec, Path]:
    """The spec of a built folder, and the file with its weights.   Raises UserError, SpecError."""
    folder = Path(path)
    missing = [name for name in ("spec.yaml", "model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder} is not the folder of a built model: it has no {' and no '.join(missing)}")
    return load(folder / "spec.yaml"), folder / "model.safetensors"


def header(name: str, class_name: str) -> str:
    return f"""{name}, compiled by mmspec {__version__}. Needs torch only.

    model = {class_name}()
    model.load_state_dict(safetensors.torch.load_file("model.safetensors"))
    model.eval()"""
