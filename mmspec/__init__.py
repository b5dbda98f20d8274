"""mmspec: a compiler for multi-modal neural networks.

    spec = mmspec.load("specs/fusion_gated.yaml")
    print(mmspec.lower(spec))                     # the graph
    print(mmspec.profile(spec)["flops.total"])    # its price, without torch
    model = mmspec.build(spec)                    # a torch module

Each name is imported when it is first used, so that what needs no torch does not wait for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmspec.components import load as load
    from mmspec.cost.profile import profile as profile
    from mmspec.deploy.package import export as export
    from mmspec.packaged import verify as verify
    from mmspec.passes import lower as lower
    from mmspec.study.search import search as search
    from mmspec.training import predict as predict
    from mmspec.training import train as train
    from mmspec.weights.build import build as build
    from mmspec.weights.load import load_weights as load_weights

__version__ = "0.1.0"

_HOMES = {
    "build": "mmspec.weights",
    "export": "mmspec.deploy",
    "load": "mmspec.components",
    "load_weights": "mmspec.weights",
    "lower": "mmspec.passes",
    "predict": "mmspec.training",
    "profile": "mmspec.cost",
    "search": "mmspec.study",
    "train": "mmspec.training",
    "verify": "mmspec.packaged",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mmspec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
