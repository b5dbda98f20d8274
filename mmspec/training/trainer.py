"""From a spec and a recipe to a trained folder: data checked, weights trained, measured once more, written whole.

The folder is a built one (`mmspec build`) with `metrics.json` and `data/`, which is what prediction needs. While a
run is unfinished, the folder holds its checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmspec.backend import write_folder
from mmspec.cost import Measured
from mmspec.data import Dataset, open_data
from mmspec.errors import UserError
from mmspec.files import MARK, check_replaceable, located
from mmspec.training.checkpoint import FILE as CHECKPOINT
from mmspec.training.checkpoint import Checkpoint, check_same_run
from mmspec.training.exits import exits
from mmspec.training.features import shared_features
from mmspec.training.inheritance import Inheritance
from mmspec.training.loads import loads
from mmspec.training.loop import EVALUATION_BATCH, Progress, Run
from mmspec.training.metrics import evaluate, warnings_of, with_limits
from mmspec.training.recipe import Recipe
from mmspec.weights import Loaded, build, inherit

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec

METRICS = "metrics.json"


@dataclass(frozen=True)
class Result:
    """What a training gives.

    module    in evaluation mode
    metrics   what metrics.json holds: `validation` and `test` (see `mmspec.training.metrics`), `history`, `warnings`,
    ...
    losses    the total loss of each step
    folder    where it was written, or None
    """

    module: nn.Module
    metrics: dict[str, Any]
    losses: list[float]
    folder: Path | None

    @property
    def accuracy(self) -> float | None:
        """On validation; None where nothing says what is right."""
        accuracy: float | None = self.metrics["validation"]["accuracy"]
        return accuracy


def train(
    spec: ModelSpec,
    recipe: Recipe | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    features: str | Path | None = None,
    begin: Inheritance | None = None,
) -> Result:
    """Train a spec.

    out      the folder to write; one of ours is replaced whole when the run is finished
    resume   go on with the unfinished run in `out`, which must be of the same spec and recipe
    progress called after every step
    features a folder for the outputs of frozen encoders, which all trainings that name it share
    begin    nodes that begin with another model's weights

    Raises   SpecError, UserError: the spec, the recipe, the data or the folder; Diverged; Interrupted.
    """
    run, loaded = _begun(spec, recipe, out, resume, begin)
    with (
        torch.random.fork_rng(devices=[]),
        _features(features, run) as notes,
    ):  # the caller's random numbers are left alone
        run.finish(progress)
        run.module.eval()
        metrics = _metrics(run, loaded, notes)
    module, data, folder = run.module, run.data, run.folder
    if folder is not None:
        known = Measured.of(metrics["validation"])
        write_folder(run.spec, module, folder, lambda target: _add(target, data, metrics), known)
    return Result(module, metrics, run.losses, folder)


def train_to(
    step: int,
    spec: ModelSpec,
    recipe: Recipe | Mapping[str, Any],
    out: str | Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    features: str | Path | None = None,
    begin: Inheritance | None = None,
) -> dict[str, Any]:
    """Bring a run to a step before its last, and leave it there: `train` with `resume` goes on with it, and ends bit for bit where
    it would have ended without the stop. The learning rate is that of the whole run.

    Returns  what metrics.json will call `validation`, of the weights as they are
    Raises   as `train`
    """
    run, _ = _begun(spec, recipe, out, resume, begin)
    with torch.random.fork_rng(devices=[]), _features(features, run):
        run.pause(min(step, run.recipe.steps), progress)
        return _validation(run, run.validation)


def _features(folder: str | Path | None, run: Run) -> AbstractContextManager[tuple[str, ...]]:
    where = None if folder is None else Path(folder)
    return shared_features(where, run.spec, run.module, run.data, run.recipe)


def _begun(
    spec: ModelSpec,
    recipe: Recipe | Mapping[str, Any],
    out: str | Path | None,
    resume: bool,
    begin: Inheritance | None,
) -> tuple[Run, tuple[Loaded, ...]]:
    """A run before its next step, and the weights that were loaded for its first."""
    spec = spec.require_closed()
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.read(recipe)
    folder = None if out is None else Path(out)
    if folder is not None:
        check_replaceable(folder)
    data = open_data(
        recipe.data, spec, tokenizer=recipe.tokenizer, split_seed=recipe.split_seed, augment=recipe.augment
    )
    fingerprint = {"spec": spec.resolved(), "recipe": recipe.model_dump(), **_inherited(begin)}
    checkpoint = _checkpoint(folder, fingerprint) if resume else None

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        built = build(spec)
        loaded: tuple[Loaded, ...] = built.meta["loaded"]
        if begin is not None:
            loaded = (*loaded, inherit(built, spec, begin.weights, begin.nodes))
        run = Run(spec, recipe, data, built, fingerprint, folder)
        if checkpoint is not None:
            run.restore(checkpoint)
        if folder is not None:
            _open_folder(folder)
    return run, loaded


def _inherited(begin: Inheritance | None) -> dict[str, Any]:
    """What a run that inherits depends on besides: the numbers in the file, wherever it lies."""
    if begin is None:
        return {}
    try:
        with begin.weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"weights to inherit cannot be read: {begin.weights}: {error.strerror}") from error
    return {"inherited": {"weights": digest, "nodes": list(begin.nodes)}}


def unfinished(folder: str | Path) -> bool:
    """Whether a folder holds a run that `resume` can go on with."""
    return (Path(folder) / CHECKPOINT).is_file()


def _checkpoint(folder: Path | None, fingerprint: dict[str, Any]) -> Checkpoint:
    if folder is None:
        raise UserError("resume: which folder? there is no output folder")
    checkpoint = Checkpoint.read(folder)
    check_same_run(checkpoint.fingerprint, fingerprint, folder)
    return checkpoint


def _open_folder(folder: Path) -> None:
    with located(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARK).exists():
            (folder / MARK).write_text("This folder is replaced whole by mmspec.\n")


def _add(folder: Path, data: Dataset, metrics: dict[str, Any]) -> None:
    """What a trained folder has beside a built one; `metrics` gets the example that was put there."""
    (folder / "data").mkdir()
    data.preprocessing.save(folder / "data")
    example = data.save_example(folder / "data")
    columns = data.preprocessing.columns
    inputs = {name: f"data/{cell}" if columns[name].is_file else cell for name, cell in example.inputs.items()}
    known = data.preprocessing
    for text in known.texts.values():
        inputs[text] = inputs[text][: len(inputs[text]) // 3] or inputs[text][:1]  # the model goes on
    inputs = {name: cell for name, cell in inputs.items() if name not in known.begun}
    if known.answers or known.pairs or known.texts:  # what `predict` can show
        metrics["example"] = {"inputs": inputs, "answers": example.answers}
    (folder / METRICS).write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _untrained(run: Run) -> nn.Module:
    """The module as the recipe's seed draws it: before the first step, where nothing was inherited."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.recipe.seed)
        return build(run.spec)


def _validation(run: Run, measured: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, with where samples leave and what experts got."""
    split, size = "validation", EVALUATION_BATCH
    return {
        **measured,
        "exits": exits(run.spec, run.module, run.data, split, size),
        "experts": loads(run.module, run.data, split, size),
    }


def _metrics(run: Run, loaded: tuple[Loaded, ...], notes: tuple[str, ...]) -> dict[str, Any]:
    data: Dataset = run.data
    split, size = "validation", EVALUATION_BATCH
    measured = {split: run.validation}
    if data.examples("test"):
        measured["test"] = evaluate(run.module, data, "test", size)
    if data.itself:
        untrained = _untrained(run)
        measured = {
            each: with_limits(metrics, run.module, untrained, data, each, size) for each, metrics in measured.items()
        }
    validation = _validation(run, measured[split])
    return {
        "format": 1,
        "model": run.spec.name,
        "data": data.describe(),
        "recipe": run.recipe.model_dump(),
        "weights": "last" if run.best is None else f"best on validation, after step {run.best['step']}",
        "seconds": round(run.seconds, 3),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "validation": validation,
        "test": measured.get("test"),
        "warnings": warnings_of(validation),
        "notes": [*data.notes, *notes, *(str(said) for each in loaded for said in (each, *each.notes))],
        "history": run.history,
    }
