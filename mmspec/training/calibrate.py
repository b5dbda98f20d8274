"""Thresholds of a trained model for what is wanted of it, chosen on the validation split and written into its folder.

The spec of the folder gets a list of thresholds for each halting stack, so that everything that reads the folder (build, predict,
export, profile) has them; metrics.json gets what the model then does on validation, measured, and `calibration`: the goal, and both
models side by side. The test split is not looked at; what it gave with other thresholds is kept under `calibration.before`.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import mmspec.components
from mmspec.backend import build, write_folder
from mmspec.backend.runtime import Stages
from mmspec.cost import Measured, Profile, profile
from mmspec.errors import UserError
from mmspec.files import check_replaceable
from mmspec.spec import ModelSpec, SpecError
from mmspec.training.exits import exits
from mmspec.training.journeys import halting_stacks, journeys
from mmspec.training.loads import loads
from mmspec.training.loop import EVALUATION_BATCH
from mmspec.training.metrics import evaluate
from mmspec.training.thresholds import NEVER, Goal, Outcome, Search, Stack
from mmspec.training.trained import Trained, open_trained

ALMOST_NEVER = 1e-6  # the least relative change, and the least that is told from certain


@dataclass(frozen=True)
class Scale:
    """A policy's scores as shares, from 0 (everyone leaves) to 1 (nobody does), so that all are searched alike; and the threshold
    that a spec says for such a share."""

    share: Callable[[Tensor], Tensor]
    said: Callable[[float], float]


def _of_entropy(classes: int) -> Scale:
    most = math.log(classes)
    return Scale(lambda score: 1 + score / most, lambda share: (1 - share) * (most - ALMOST_NEVER))


_CHANGE = Scale(torch.exp, lambda share: -math.log(max(share, ALMOST_NEVER)))
_PLAIN = Scale(lambda score: score, lambda share: share)
_HALTED = Scale(lambda score: score, lambda share: min(max(share, ALMOST_NEVER), 1 - ALMOST_NEVER))

SCALES: Mapping[str, Callable[[int], Scale]] = {  # by policy, for so many classes
    "confidence": lambda classes: _PLAIN,
    "entropy": _of_entropy,
    "improvement": lambda classes: _CHANGE,
    "ponder": lambda classes: _HALTED,
}


def _scale(trained: Trained, node: str) -> Scale:
    policy = next(each.component for each in trained.spec.nodes if each.name == node).halting  # type: ignore[attr-defined]
    classes = trained.spec.heads[policy.head].classes  # type: ignore[attr-defined]  # a target has
    return SCALES[policy.type](classes)


@dataclass(frozen=True)
class Calibration:
    """What was chosen and where it was written.   metrics: what metrics.json holds now"""

    folder: Path
    metrics: dict[str, Any]

    @property
    def summary(self) -> dict[str, Any]:
        """`calibration` of the metrics: `goal`, `before`, `after`, `full`, `shared`, `stacks`, `examples`."""
        summary: dict[str, Any] = self.metrics["calibration"]
        return summary


def calibrate(folder: str | Path, goal: Goal, *, data: str | None = None, out: str | Path | None = None) -> Calibration:
    """Choose thresholds and write the folder, in its place or as `out`.

    Raises   SpecError, UserError: not a trained folder, nothing in it may leave early, a goal that cannot be reached
    """
    _check(goal)
    trained = open_trained(folder, data)
    target = Path(out) if out is not None else trained.folder
    check_replaceable(target)
    spec, module = trained.spec, trained.module
    stacks = _stacks(trained)
    before = _measured(spec, module, trained)
    search = _search(trained, stacks, before)
    found = search.best(goal)
    _refuse_missed(goal, search, found)

    changed = _with_thresholds(trained, found)
    module = build(changed, weights=trained.folder / "model.safetensors").eval()
    after = _measured(changed, module, trained)
    metrics = {**trained.metrics, "validation": after["validation"], "test": None}
    shared = search.shared(goal)
    metrics["calibration"] = {
        "goal": {goal.kind: goal.amount},
        "data": trained.data.describe() if data else "as in training",
        "examples": trained.data.examples("validation"),
        "full": _figures(search.everywhere(NEVER)),
        "before": {**before["figures"], "test": trained.metrics.get("test")},
        "after": after["figures"],
        "shared": {"threshold": next(iter(shared.levels.values()))[0], **_figures(shared)},
        "stacks": _rows(before, after),
    }
    metrics["notes"] = [*_kept_notes(trained.metrics), NOTE]
    write_folder(
        changed, module, target, lambda place: _add(trained.folder, place, metrics), Measured.of(after["validation"])
    )
    return Calibration(target, metrics)


NOTE = "thresholds were chosen on the validation split, so its accuracy is a little flattering; test was not measured again"


def _check(goal: Goal) -> None:
    ranges = {"cost": (0, 1), "accuracy": (0, 1), "loss": (0, 1)}
    low, high = ranges[goal.kind]
    if not low <= goal.amount <= high:
        meaning = {
            "cost": "a share of the full cost",
            "accuracy": "a share of right answers",
            "loss": "a difference of shares",
        }
        raise UserError(f"--{goal.kind} is {meaning[goal.kind]}, from {low} to {high}, not {goal.amount:g}")


def _stacks(trained: Trained) -> dict[str, Stages]:
    """The stacks that can be calibrated.   Raises SpecError, UserError: there is none"""
    spec, found = trained.spec, {}
    for node, stages, target in halting_stacks(spec, trained.module, trained.data):
        place = next(wired for wired in spec.nodes if wired.name == node)
        policy = place.component.halting  # type: ignore[attr-defined]  # what has stages has a policy
        if policy.type not in SCALES:
            message = f"a policy of type {policy.type!r} has no thresholds that could be chosen"
            hint = f"policies that have: {', '.join(SCALES)}"
            raise SpecError((spec.diagnostic(f"{place.path}.halting", message, hint=hint),))
        if target is None:
            message = f"nothing says whether {policy.head!r} is right at the exits of {node!r}"
            raise SpecError((spec.diagnostic(f"{place.path}.halting", message, hint="an objective for that head"),))
        found[node] = stages
    if not found:
        hint = "give a stack halting: {type: confidence, head: ...}, and train it"
        raise UserError(f"nothing in {trained.folder} may leave early, so there are no thresholds to choose; {hint}")
    return found


def _measured(spec: ModelSpec, module: nn.Module, trained: Trained) -> dict[str, Any]:
    """A model on validation: what training's metrics say of it, and its thresholds, accuracy and mean FLOPs."""
    validation = evaluate(module, trained.data, "validation", EVALUATION_BATCH)
    validation["exits"] = exits(spec, module, trained.data, "validation", EVALUATION_BATCH)
    validation["experts"] = loads(module, trained.data, "validation", EVALUATION_BATCH)
    price = profile(spec, measured=Measured.of(validation))
    stacks = halting_stacks(spec, module, trained.data)
    return {
        "validation": validation,
        "price": price,
        "thresholds": {node: _said(spec, node, stages) for node, stages, _ in stacks},
        "figures": {
            "accuracy": validation["accuracy"],
            "standard_error": validation["standard_error"],
            "flops": price["flops.expected"],
            "cost": price["flops.expected"] / price.need("flops.total"),
        },
    }


def _said(spec: ModelSpec, node: str, stages: Stages) -> list[float]:
    """The thresholds as the spec says them, one for each exit."""
    policy = next(each.component for each in spec.nodes if each.name == node).halting  # type: ignore[attr-defined]
    return list(policy.threshold) if isinstance(policy.threshold, tuple) else [policy.threshold] * stages.earlier


def _search(trained: Trained, stacks: Mapping[str, Stages], before: Mapping[str, Any]) -> Search:
    price: Profile = before["price"]
    by_node = {node.name: node.exits for node in price.nodes}
    judged = {node: target for node, _, target in halting_stacks(trained.spec, trained.module, trained.data)}
    found = {}
    for node, stages in stacks.items():
        target = judged[node]
        assert target is not None
        walked = journeys(trained.module, stages, trained.data, target, "validation", EVALUATION_BATCH)
        spent = walked.weights.new_tensor(by_node[node])
        scale = _scale(trained, node)
        found[node] = Stack(replace(walked, scores=scale.share(walked.scores)), spent)
    around = price.need("flops.total") - sum(by_node[node][-1] for node in stacks)
    asked = {target.head for target in judged.values() if target is not None}
    others = [row["accuracy"] for head, row in before["validation"]["heads"].items() if head not in asked]
    return Search(found, around, others)


def _refuse_missed(goal: Goal, search: Search, found: Outcome) -> None:
    if search.key(goal, found)[0] <= 0:
        return
    least, full = search.everywhere(0.0), search.everywhere(NEVER)
    if goal.kind == "cost":
        raise UserError(
            f"--cost {goal.amount:g} cannot be reached: where every sample leaves at the first exit, the mean cost is still "
            f"{least.cost:.3f} of the full model's (accuracy {least.accuracy:.3f}); "
            f"the least that can be asked for is {_up(least.cost)}"
        )
    raise UserError(
        f"--{goal.kind} {goal.amount:g} cannot be reached: the best thresholds give {found.accuracy:.4f} on validation at "
        f"{found.cost:.3f} of the full cost, and the full model {full.accuracy:.4f}; wanted is {search.wanted(goal):.4f}"
    )


def _up(share: float) -> str:
    return f"{int(share * 1000) / 1000 + 0.001:.3f}"


def _with_thresholds(trained: Trained, found: Outcome) -> ModelSpec:
    paths = {wired.name: wired.path for wired in trained.spec.nodes}
    said = []
    for node, levels in found.levels.items():
        scale = _scale(trained, node)
        said.append(f"{paths[node]}.halting.threshold={[round(scale.said(level), 6) for level in levels]}")
    return mmspec.components.load(trained.folder, said)


def _figures(outcome: Outcome) -> dict[str, float]:
    return {"accuracy": outcome.accuracy, "cost": outcome.cost}


def _rows(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By stack and exit: threshold, share and accuracy before and after, and what the whole model costs that leaves there."""
    price: Profile = after["price"]
    total = price.need("flops.total")
    by_node = {node.name: node.exits for node in price.nodes}
    stacks = {}
    for node, new in after["validation"]["exits"].items():
        old = before["validation"]["exits"][node]
        stacks[node] = [
            {
                "exit": row["exit"],
                "flops": total - by_node[node][-1] + by_node[node][row["exit"]],
                **{
                    when: {
                        "threshold": _level(side, node, row["exit"]),
                        "share": each["share"],
                        "accuracy": each["accuracy"],
                    }
                    for when, side, each in (("before", before, old[row["exit"]]), ("after", after, row))
                },
            }
            for row in new
        ]
    return stacks


def _level(side: Mapping[str, Any], node: str, exit: int) -> float | None:
    levels = side["thresholds"][node]
    return levels[exit] if exit < len(levels) else None


def _kept_notes(metrics: Mapping[str, Any]) -> list[str]:
    return [note for note in metrics.get("notes", ()) if note != NOTE]


def _add(source: Path, folder: Path, metrics: Mapping[str, Any]) -> None:
    """What a trained folder has beside a built one."""
    shutil.copytree(source / "data", folder / "data")
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
