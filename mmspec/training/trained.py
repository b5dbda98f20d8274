"""The folder of a trained model opened again, with data to measure it on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from mmspec.backend import read_folder
from mmspec.data import Dataset, Preprocessing, open_data
from mmspec.errors import UserError

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


@dataclass(frozen=True)
class Trained:
    """spec, module (in evaluation mode) and metrics of a folder; `data` is what it was trained on, or what was asked for."""

    folder: Path
    spec: ModelSpec
    module: nn.Module
    metrics: dict[str, Any]
    data: Dataset


def open_trained(folder: str | Path, data: str | None = None) -> Trained:
    """A trained folder and its data: by default what its recipe names, split as it was in training.

    Raises   SpecError; UserError: it is not the folder of a trained model, its data is gone, or other data calls classes otherwise
    """
    folder = Path(folder)
    metrics = _metrics(folder)
    spec, module = read_folder(folder)
    known = Preprocessing.load(folder / "data")
    recipe = metrics.get("recipe", {})
    source = open_data(
        data or recipe.get("data", "digits_questions"),
        spec,
        tokenizer=recipe.get("tokenizer", "bytes"),
        split_seed=recipe.get("split_seed", 0),
    )
    for head, names in known.answers.items():
        if (found := source.preprocessing.answers.get(head)) != names:
            said, trained = (", ".join((classes or ("none",))[:6]) for classes in (found, names))
            raise UserError(
                f"{source.name} has other classes for {head} ({said}) than {folder} was trained on ({trained})"
            )
    if not source.examples("validation"):
        raise UserError(f"{source.name} has no validation split to measure on")
    return Trained(folder, spec, module.eval(), metrics, source)


def _metrics(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot read {path}: {reason}; is this the folder of a trained model?") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(metrics, dict) or not isinstance(metrics.get("validation"), dict):
        raise UserError(f"{path} was not written by mmspec train")
    return metrics
