"""A spec as a module with the weights it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import fx

from mmspec.backend import build as build_fresh
from mmspec.backend import serving_form
from mmspec.backend.averages import follow
from mmspec.backend.longest import refuse_longer_texts
from mmspec.passes.averages import averages
from mmspec.spec import ModelSpec
from mmspec.spec.weights import WHOLE
from mmspec.weights.layout import OURS
from mmspec.weights.load import Loaded, load_weights


def build(
    spec: ModelSpec,
    weights: str | Path | None = None,
    layout: str = OURS,
    *,
    pickled: bool = False,
    form: Literal["training", "serving"] = "training",
) -> fx.GraphModule:
    """The torch module that a spec means: freshly initialised (torch's global seed decides), then with the weights that the spec
    asks for, or with `weights` in their place: a checkpoint of the whole model, by our names unless `layout` says whose.

    `model(image=..., text=ids, text_mask=None)` returns a dict by head. In training it has in addition what the objectives
    need. `model.meta["loaded"]` says what was loaded, and what a person should know of it. The `serving` form is for inference
    alone and faster; its state dict has the same names.

    Raises   SpecError; UserError: it does not fit into memory, or the weights are another model's.
    """
    module = build_fresh(spec)
    if weights is not None:
        loaded: tuple[Loaded, ...] = (load_weights(module, weights, layout, spec, pickled=pickled),)
    else:
        loaded = tuple(
            load_weights(
                module, spec.weights_at(node), said.layout, spec, node=node, nodes=said.nodes, ignore=said.ignore, grid=said.grid,
                pickled=said.pickled,
            )
            for node, said in spec.weights.items()
        )  # fmt: skip
        # averages begin where they follow, loaded or not
        follow(module, [pair for pair in averages(spec) if not {pair[0], WHOLE} & spec.weights.keys()], keep=0.0)
    if form == "serving":
        module = serving_form(spec, module.state_dict())
    module.meta["loaded"] = loaded
    refuse_longer_texts(module, spec)
    return module
