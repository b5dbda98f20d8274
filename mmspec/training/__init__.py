"""A short, deterministic, resumable training loop, what it measures, and answers from what it trained.

    Recipe                    what a user may say about training (read without torch)
    train(spec, recipe)       a Result: the module, its metrics, its folder
    predict(folder, inputs)   the answer of a trained folder to one example
    calibrate(folder, goal)   thresholds of its exits for a wanted cost or accuracy
    diagnose(folder)          a page about its exits, experts and gates
    Evaluation                metrics from the user's own command or function instead

Torch is imported on first use of `train` or `predict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmspec.training.calibrate import Calibration as Calibration
    from mmspec.training.calibrate import calibrate as calibrate
    from mmspec.training.diagnostics import Diagnosis as Diagnosis
    from mmspec.training.diagnostics import diagnose as diagnose
    from mmspec.training.evaluate import Evaluation as Evaluation
    from mmspec.training.inheritance import Inheritance as Inheritance
    from mmspec.training.interrupt import Interrupted as Interrupted
    from mmspec.training.loop import Diverged as Diverged
    from mmspec.training.prediction import Predictor as Predictor
    from mmspec.training.prediction import predict as predict
    from mmspec.training.recipe import Recipe as Recipe
    from mmspec.training.thresholds import Goal as Goal
    from mmspec.training.trainer import Result as Result
    from mmspec.training.trainer import train as train
    from mmspec.training.trainer import unfinished as unfinished

_HOME = {
    "Calibration": "calibrate",
    "Goal": "thresholds",
    "Diverged": "loop",
    "Evaluation": "evaluate",
    "Inheritance": "inheritance",
    "Interrupted": "interrupt",
    "Predictor": "prediction",
    "Recipe": "recipe",
    "Result": "trainer",
    "calibrate": "calibrate",
    "Diagnosis": "diagnostics",
    "diagnose": "diagnostics",
    "predict": "prediction",
    "train": "trainer",
    "unfinished": "trainer",
}

__all__ = [
    "Calibration", "Diagnosis", "Diverged", "Evaluation", "Goal", "Inheritance", "Interrupted", "Predictor", "Recipe",
    "Result", "calibrate", "diagnose", "predict", "train", "unfinished",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        found = getattr(import_module(f"mmspec.training.{_HOME[name]}"), name)
        globals()[name] = found  # the name of a function, where its module has the same
        return found
    raise AttributeError(f"module 'mmspec.training' has no attribute '{name}'")
