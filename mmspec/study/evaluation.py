"""What a candidate is worth: train it by the study's recipe, or hand it to the user's own code."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmspec.errors import UserError
from mmspec.files import write_atomically
from mmspec.study.learned import BOUNDS, learned_cost

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec
    from mmspec.study.candidate import Candidate
    from mmspec.study.file import Study
    from mmspec.study.plan import Plan
    from mmspec.training.inheritance import Inheritance

DONE = "trial.json"
FEATURES = "features"  # of frozen encoders, in the study's folder


class Untrainable(Exception):
    """This spec cannot be trained (diverged, out of memory, not buildable). The search goes on; the message is the reason."""


Tick = Callable[[int, int, Mapping[str, float]], None]  # step, steps, what is known so far


class Evaluate(Protocol):
    """Fill `folder` with a built model and say what it is worth.

    Where a study has rungs, it takes one more argument, `until`: the step to stop at, so that a later call with the same folder
    goes on from there and ends as if it had not stopped; None is the end. Where trainings inherit, it takes `begin`: the weights,
    and the nodes that begin with them, or None.

    Raises   Untrainable: this spec's own failure.   UserError: anything that would stop every other spec as well.
    """

    def __call__(self, spec: ModelSpec, folder: Path, seed: int, tick: Tick) -> Mapping[str, Any]: ...


def evaluation_of(study: Study) -> Evaluate:
    """By the study's `recipe`, or by its `evaluate`."""
    return _by_recipe(study) if study.recipe is not None else _by_hook(study)


def _by_recipe(study: Study) -> Evaluate:
    from mmspec.training import Recipe

    assert study.recipe is not None
    recipe = Recipe.read(study.recipe.model_dump(), study.path.parent, origin=f"{study.path}: recipe")

    def evaluate(
        spec: ModelSpec,
        folder: Path,
        seed: int,
        tick: Tick,
        until: int | None = None,
        begin: Inheritance | None = None,
    ) -> Mapping[str, Any]:
        from mmspec.training import Diverged, train
        from mmspec.training.trainer import train_to, unfinished

        def progress(step: int, steps: int, loss: float, metrics: Mapping[str, Any] | None) -> None:
            known = {"loss": loss}
            if metrics is not None and isinstance(metrics.get("accuracy"), float):
                known["accuracy"] = metrics["accuracy"]
            tick(step, steps, known)

        try:
            seeded = recipe.model_copy(update={"seed": seed})
            shared = folder.parents[1] / FEATURES if study.features == "shared" else None
            if until is not None:
                return train_to(
                    until,
                    spec,
                    seeded,
                    folder,
                    resume=unfinished(folder),
                    progress=progress,
                    features=shared,
                    begin=begin,
                )
            result = train(
                spec, seeded, folder, resume=unfinished(folder), progress=progress, features=shared, begin=begin
            )
            return dict(result.metrics["validation"])  # the test split is measured too, and not looked at here
        except Diverged as error:
            raise Untrainable(str(error).partition(";")[0]) from error
        except (MemoryError, RuntimeError) as error:
            if _out_of_memory(error):
                raise Untrainable("out of memory") from error
            told = (str(error).strip().splitlines() or ["RuntimeError"])[
                0
            ]  # torch's kind, as of a module that a plug-in brought
            raise Untrainable(f"cannot be built or trained: {told[:200]}") from error

    return evaluate


def _by_hook(study: Study) -> Evaluate:
    assert study.evaluate is not None
    hook = study.evaluate

    def evaluate(spec: ModelSpec, folder: Path, seed: int, tick: Tick) -> Mapping[str, Any]:
        import torch

        from mmspec.backend import write_folder
        from mmspec.weights import build

        torch.manual_seed(seed)
        write_folder(spec, build(spec), folder)
        tick(0, 1, {})
        metrics = hook.metrics(folder, beside=study.path.parent)
        tick(1, 1, {})
        return metrics

    return evaluate


def _out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def test_accuracy(folder: Path) -> float | None:
    """On the test split, of a training that has one."""
    try:
        value = json.loads((folder / "metrics.json").read_bytes())["test"]["accuracy"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) else None


def finished(folder: Path, digest: str, seed: int, until: int | None = None) -> tuple[Mapping[str, Any], float] | None:
    """Metrics and seconds of a training that was done in this folder but not told any more (a crash in between)."""
    try:
        record = json.loads((folder / _record(until)).read_bytes())
        if record["digest"] == digest and record["seed"] == seed:
            return record["metrics"], record["seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _record(until: int | None) -> str:
    return DONE if until is None else f"rung-{until}.json"


def measured(
    evaluate: Evaluate,
    spec: ModelSpec,
    digest: str,
    folder: Path,
    seed: int,
    tick: Tick,
    until: int | None = None,
    begin: Inheritance | None = None,
) -> tuple[Mapping[str, Any], float]:
    """Evaluate a spec once, or up to a step: metrics and the seconds that this took, also written into its folder so that a crash
    does not lose them."""
    if (known := finished(folder, digest, seed, until)) is not None:
        return known
    began = time.perf_counter()
    asked = {"until": until, "begin": begin}
    more: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    metrics = evaluate(spec, folder, seed, tick, **more)
    seconds = time.perf_counter() - began
    folder.mkdir(parents=True, exist_ok=True)
    record = {"digest": digest, "seed": seed, "metrics": dict(metrics), "seconds": seconds}
    write_atomically(folder / _record(until), json.dumps(record, indent=2))
    return metrics, seconds


def objective_value(metrics: Mapping[str, Any], name: str) -> float:
    """A metric by its dotted name ("accuracy", "heads.label.loss").

    Raises   UserError: there is no such number.   Untrainable: it is not finite.
    """
    value: Any = metrics
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        from mmspec.spec.diagnostics import did_you_mean, listing

        numbers = [k for k, v in metrics.items() if isinstance(v, int | float) and not isinstance(v, bool)]
        raise UserError(
            f"the objective {name!r} is not among the metrics{did_you_mean(name, numbers)}; they are: {listing(numbers)}"
        )
    if not math.isfinite(value):
        raise Untrainable(f"its {name} is {value}")
    return float(value)


def objective_values(
    planned: Plan, candidate: Candidate, figures: Mapping[str, float], metrics: Mapping[str, Any]
) -> dict[str, float]:
    """Every objective: of the price, or measured.   Raises Untrainable, UserError."""
    found = {}
    for o in planned.study.objectives:
        if o.name in planned.exact:
            found[o.name] = figures[o.name]
        elif o.name in BOUNDS and candidate.spec is not None:
            found[o.name] = learned_cost(candidate.spec, o.name, metrics)
        else:
            found[o.name] = objective_value(metrics, o.name)
    return found
