"""Where examples come from: the embedded digits questions, or the user's own manifest.

    open_data(name, spec)   a Dataset: batches of tensors by input name, targets by column
    Preprocessing           turns a picture's path or a sentence into those tensors; saved in `data/` of a trained
    folder

Torch and scikit-learn are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmspec.data.batch import Batch as Batch
    from mmspec.data.batch import Dataset as Dataset
    from mmspec.data.source import open_data as open_data
    from mmspec.reading.preprocessing import Preprocessing as Preprocessing

_HOME = {
    "Batch": "mmspec.data.batch",
    "Dataset": "mmspec.data.batch",
    "Preprocessing": "mmspec.reading.preprocessing",
    "open_data": "mmspec.data.source",
}

__all__ = ["Batch", "Dataset", "Preprocessing", "open_data"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mmspec.data' has no attribute '{name}'")
