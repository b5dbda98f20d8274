"""The training loop: AdamW, warm-up and cosine, clipping; deterministic, resumable, and never a ruined weight.

Step s of a run depends on the weights after step s - 1 and on (recipe, s) alone: its batch, its dropout and its
learning rate are functions of the step. A run that was stopped and resumed is therefore the same run, bit for bit, on
the same machine with the same number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from mmspec.backend import build_objectives
from mmspec.backend.averages import follow
from mmspec.backend.recompute import recompute_blocks
from mmspec.data import Dataset
from mmspec.data.batch import seed_of
from mmspec.errors import UserError
from mmspec.passes.averages import averages
from mmspec.training.checkpoint import Checkpoint, all_finite
from mmspec.training.interrupt import Interrupted, stop_between_steps
from mmspec.training.metrics import evaluate, score
from mmspec.training.optimizer import average_keep, learning_rate, optimizer_for, optimizer_state, restore_optimizer
from mmspec.training.recipe import Recipe

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec

EVALUATION_BATCH = 256
CHECKPOINT_SECONDS = 60.0  # of work that a killed run may lose, where validations are further apart


class Progress(Protocol):
    """Called after every step; `metrics` is the validation's, after the steps that have one."""

    def __call__(self, step: int, steps: int, loss: float, metrics: Mapping[str, Any] | None) -> None: ...


class Diverged(UserError):
    """A loss or a gradient is no finite number; the weights from before it are kept."""


@dataclass
class Run:
    """A training run: its state, and the functions that bring it forward.

    folder   where checkpoints go; None keeps nothing
    """

    spec: ModelSpec
    recipe: Recipe
    data: Dataset
    module: nn.Module
    fingerprint: dict[str, Any]
    folder: Path | None = None

    def __post_init__(self) -> None:
        recompute_blocks(self.module, self.recipe.checkpoint)
        self.objectives = build_objectives(self.spec)
        self.optimizer = optimizer_for(self.module, self.recipe)
        self.averages = averages(self.spec)
        self.step = 0
        self.losses: list[float] = []
        self.history: list[dict[str, Any]] = []
        self.validation: dict[str, Any] = {}  # of the newest weights that were validated
        self.best: dict[str, Any] | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.seconds = self.saved_at = 0.0
        self.saved_step = -1

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where a checkpoint was written."""
        self.module.load_state_dict(checkpoint.weights)
        restore_optimizer(self.module, self.optimizer, checkpoint.optimizer)
        self.step = self.saved_step = checkpoint.step
        self.losses = checkpoint.losses.tolist()
        self.history = checkpoint.history
        self.seconds = self.saved_at = checkpoint.seconds
        self.best, self.best_weights = checkpoint.best, checkpoint.best_weights

    def checkpoint(self) -> Checkpoint:
        """The state between two steps."""
        return Checkpoint(
            self.step, self.fingerprint, self.module.state_dict(), optimizer_state(self.module, self.optimizer),
            torch.tensor(self.losses, dtype=torch.float64), self.history, self.seconds, self.best, self.best_weights,
        )  # fmt: skip

    def finish(self, progress: Progress | None = None) -> None:
        """Do the steps that are left, and put the best weights in place where the recipe keeps them; then
        `validation` is theirs.

        Raises   Diverged; Interrupted: Ctrl-C. Either leaves a checkpoint in the folder, if there is one.
        """
        self._to(self.recipe.steps, progress)
        if self.best is not None and self.best["step"] != self.step:
            self.module.load_state_dict(self.best_weights)
            self.validation = {}
        if not self.validation:  # of the weights in place; also where a run is resumed after its last step
            self.validation = evaluate(self.module, self.data, "validation", EVALUATION_BATCH)

    def pause(self, step: int, progress: Progress | None = None) -> None:
        """Do the steps up to one before the last, keep a checkpoint, and measure the weights as they are; then `validation` is
        theirs. What follows is what it would have been: the measurement is no part of the run's history.

        Raises   as `finish`
        """
        self.validation = {}
        self._to(step, progress)
        if self.saved_step != self.step:
            self.save()
        if not self.history or self.history[-1]["step"] != self.step or not self.validation:
            self.validation = evaluate(self.module, self.data, "validation", EVALUATION_BATCH)

    def _to(self, last: int, progress: Progress | None) -> None:
        recipe = self.recipe
        with stop_between_steps() as stop:
            while self.step < last:
                began = time.perf_counter()
                loss = self._advance()
                metrics = None
                if self.step % recipe.interval == 0 or self.step == recipe.steps:
                    metrics = self.validation = self._validate()
                self.seconds += time.perf_counter() - began
                due = metrics is not None or self.seconds - self.saved_at > CHECKPOINT_SECONDS
                if due:
                    self.save()
                if progress is not None:
                    progress(self.step, recipe.steps, loss, metrics)
                if stop.requested:
                    raise Interrupted(f"stopped after step {self.step} of {recipe.steps}; {self._kept()}")

    def save(self) -> None:
        """Write a checkpoint, if there is a folder for it."""
        if self.folder is not None:
            self.checkpoint().write(self.folder)
            self.saved_at, self.saved_step = self.seconds, self.step

    def _advance(self) -> float:
        """One step; the total loss before it."""
        recipe, step = self.recipe, self.step
        batch = self.data.training_batch(step, recipe.batch, recipe.seed)
        torch.manual_seed(seed_of("dropout", recipe.seed, step))
        self.module.train()
        self.optimizer.zero_grad()  # before activations are there
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16-autocast"):
            losses: dict[str, Tensor] = self.objectives(self.module(**batch.inputs), batch.targets, step / recipe.steps)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, recipe.clip or float("inf"))
        total = float(losses["total"].detach())
        if not bool(torch.isfinite(norm)) or total - total != 0:
            raise self._diverged(losses)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        self.optimizer.step()
        follow(self.module, self.averages, average_keep(recipe, step))
        self.step += 1
        self.losses.append(total)
        return total

    def _validate(self) -> dict[str, Any]:
        metrics = evaluate(self.module, self.data, "validation", EVALUATION_BATCH)
        since = self.losses[self.history[-1]["step"] if self.history else 0 :]
        row = {
            "step": self.step,
            "loss": sum(since) / len(since),
            "accuracy": metrics["accuracy"],
            "score": score(metrics),
        }
        self.history.append(row)
        if self.recipe.keep == "best" and (self.best is None or row["score"] > self.best["score"]):
            self.best = row
            self.best_weights = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        return metrics

    def _diverged(self, losses: Mapping[str, Tensor]) -> Diverged:
        terms = {name: float(loss.detach()) for name, loss in losses.items() if name != "total"}
        wrong = [f"{name} is {value}" for name, value in terms.items() if value - value != 0]
        what = ", ".join(wrong) if wrong else "the losses are finite, their gradient is not"
        kept = self._kept() if all_finite(self.module.state_dict()) else "the weights were no longer finite"
        return Diverged(
            f"training diverged at step {self.step + 1} of {self.recipe.steps}: {what}; {kept}; "
            f"try a smaller learning_rate than {self.recipe.learning_rate:g}"
        )

    def _kept(self) -> str:
        """Write the weights as they are, and say where they are."""
        if self.folder is None:
            return "nothing was kept (there is no output folder)"
        self.save()
        return f"the weights after step {self.step} are in {self.folder}; --resume goes on from there"
