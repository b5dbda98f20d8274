"""What is exported: a spec with weights, wherever they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmspec.backend import build_graph, read_folder
from mmspec.components import load
from mmspec.deploy.licences import licences_beside
from mmspec.errors import UserError
from mmspec.ir import Graph
from mmspec.spec import ModelSpec
from mmspec.weights import build


@dataclass(frozen=True)
class Subject:
    """A closed spec, its weights by name, and what is known of them.

    `origin` says in a few words where the weights come from; `metrics` is what training measured, None for weights that no
    training of ours made; `data` is the folder with what reads inputs as training did. `licences`: of weights and data, by their
    place in a package; empty where nobody said.
    """

    spec: ModelSpec
    state: Mapping[str, torch.Tensor]
    origin: str
    metrics: Mapping[str, Any] | None = None
    data: Path | None = None
    licences: Mapping[str, bytes] = field(default_factory=dict)


def subject_of(given: ModelSpec | str | Path, seed: int = 0) -> Subject:
    """The subject behind a spec, the path or name of one (fresh weights, drawn from `seed`), or a built or trained folder.

    Raises   SpecError; UserError: not a folder of ours, weights of another model, more than fits into memory.
    """
    if not isinstance(given, ModelSpec) and Path(given).is_dir():
        return _from_folder(Path(given))
    spec = (given if isinstance(given, ModelSpec) else load(given)).require_closed()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        module = build(spec)
    fresh = f"freshly initialised, untrained (seed {seed})"
    files = [loaded.file for loaded in module.meta["loaded"]]
    return Subject(_settled(spec), module.state_dict(), f"of {', '.join(files)}" if files else fresh)


def _settled(spec: ModelSpec) -> ModelSpec:
    """What is exported has its weights: it does not ask for them again."""
    return replace(spec, weights={})


def _from_folder(folder: Path) -> Subject:
    spec, module = read_folder(folder)
    metrics = folder / "metrics.json"
    known: Mapping[str, Any] | None = None
    if metrics.is_file():
        try:
            known = json.loads(metrics.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {metrics}: {error}") from error
    origin = "trained" if known is not None else "of a folder without metrics.json: nothing is known of its training"
    data = folder / "data"
    return Subject(
        _settled(spec), module.state_dict(), origin, known, data if data.is_dir() else None, licences_beside(folder)
    )


def serving_module(graph: Graph, subject: Subject) -> nn.Module:
    """The torch module of a serving graph, in evaluation, with the subject's weights (no copies) and without gradients."""
    module = build_graph(graph)
    module.load_state_dict({name: subject.state[name] for name in module.state_dict()}, assign=True)
    return module.eval().requires_grad_(False)  # with gradients, torch.onnx loses the sizes inside a condition


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    """A module's parameters and buffers by name, thresholds of its stacks among them."""
    tensors = (*module.named_parameters(), *module.named_buffers())
    return {name: tensor.numpy() for name, tensor in tensors}
