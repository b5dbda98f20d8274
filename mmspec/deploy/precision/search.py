"""The fastest assignment of float32 and fewer bits to groups of layers, within the metric loss that the target allows.

A group is a block, or what stands outside of blocks. All begin in fewer bits. While the accuracy is below what is allowed, the
group whose fewer bits move the outputs most is put back into float32. Then latency decides: of what is left, each group that is no
slower in float32 goes back as well, and float32 everywhere is the answer where nothing is faster. All are timed in turn in one
process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmspec.deploy.measurement import runtime_of, timed, written
from mmspec.deploy.precision.calibration import Range
from mmspec.deploy.precision.errors import errors_of
from mmspec.deploy.precision.lowering import Lowered, with_layers
from mmspec.deploy.precision.roles import group_of
from mmspec.deploy.precision.task import Task
from mmspec.deploy.runtimes import load_of
from mmspec.errors import UserError

GAIN = 0.01  # of the latency: a group that gains less by fewer bits has float32


def searched(made: Lowered, ranges: Mapping[str, Range]) -> Lowered:
    """The assignment that was found.   Raises UserError: there is nothing that an accuracy could be told by"""
    task, allowed = _task(made), made.target.loss.metric
    if allowed is None:
        raise UserError("quantisation.search needs the loss that it may make: loss: {metric: 0.005}")
    load = load_of(made.target)
    groups: dict[str, list[str]] = {}
    for name in made.chosen:
        groups.setdefault(group_of(name), []).append(name)
    float32 = task.accuracy(made.draft.files.run(load))
    tried: list[dict[str, Any]] = []

    def lowered(chosen: Sequence[str]) -> Lowered:
        return with_layers(made, [name for group in groups if group in chosen for name in groups[group]], ranges)

    def loses(chosen: Sequence[str]) -> float:
        loss = float32 - task.accuracy(lowered(chosen).files.run(load)) if chosen else 0.0
        tried.append({"groups": list(chosen), "loss": loss})
        return loss

    moved = sensitivity(made, groups, ranges)
    chosen = sorted(groups, key=lambda group: moved[group])
    while loses(chosen) > allowed:
        chosen = chosen[:-1]
    chosen = _faster(lowered, chosen)
    if chosen != tried[-1]["groups"] and loses(chosen) > allowed:
        chosen = next(row["groups"] for row in tried if row["loss"] <= allowed)
    found = lowered(chosen)
    floats = tuple(group for group in groups if group not in chosen)
    return replace(found, floats=floats, tried=tuple(tried))


def sensitivity(made: Lowered, groups: Mapping[str, Sequence[str]], ranges: Mapping[str, Range]) -> dict[str, float]:
    """How far fewer bits in one group alone move the outputs: the largest error of any."""
    task, load = _task(made), load_of(made.target)
    examples = [values for values, _ in task.validation(1)]
    found = {}
    for group, names in groups.items():
        errors = errors_of(made.draft.module, with_layers(made, names, ranges).files, load, examples)
        found[group] = max(errors.relative(name) for name in errors.size if name not in errors.counted)
    return found


def _faster(lowered: Any, chosen: Sequence[str]) -> list[str]:
    """Without the groups that gain nothing by fewer bits."""
    whole = lowered(chosen)
    without = [[group for group in chosen if group != left] for left in chosen]
    every = [list(chosen), *without, []]
    times = latencies(whole, [lowered(each) for each in every])
    kept = [group for group, time in zip(chosen, times[1:-1], strict=True) if time > times[0] * (1 + GAIN)]
    best = latencies(whole, [lowered(kept), lowered([]), whole])
    return min(zip(best, (kept, [], list(chosen)), strict=True), key=lambda each: each[0])[1]


def latencies(made: Lowered, several: Sequence[Lowered]) -> list[float]:
    """The sum over the target's batches of each one's latency, in milliseconds: on one thread the processor time, which the rest of
    the machine does not disturb, on several the least wall time."""
    draft = made.draft
    files = [(written(each.files, draft.accessories), runtime_of(made.target)) for each in several]
    found = timed(made.target, draft.contract, files)
    clock = "processor_ms" if made.target.measure.threads == 1 else "least_ms"
    return [sum(row[clock] for row in folder.values()) for folder in found["folders"]]


def _task(made: Lowered) -> Task:
    if made.task is None or not made.task.judged:
        raise UserError(
            "quantisation.search needs a model that was trained on data that judges it: "
            f"the weights are {made.draft.subject.origin}"
        )
    return made.task
