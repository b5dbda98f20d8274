"""What leaving early saves, beside the full model without exits in the same run: ONNX Runtime (conditions inside of one file; stage
models with a host loop) and eager torch, one thread.

A small ViT of eight blocks at 224 pixels, exits after blocks 2, 4 and 6 (specs/early_exit_vit.yaml), and the same as a loop of
adaptive computation time. Each figure is a ratio of seconds of the processor, so that other processes count little; what is
compared runs in turn, and the median over the rounds of the ratio is printed. Of a mixed batch, half of the samples that are left
leave at each exit: 4, 2, 1 and 1 of 8.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import mmspec
from mmspec.deploy import Target, load_target
from mmspec.deploy.cases import plain_case, randomised
from mmspec.deploy.draft import Draft, draft_of
from mmspec.deploy.file import run_file, with_arrays
from mmspec.deploy.staged import Files, staged_draft_of
from mmspec.deploy.subject import Subject
from mmspec.deploy.watching import loops_of, stacks_of, watching
from mmspec.host import STAGES, Host
from mmspec.passes import lower_serving

Run = Callable[[tuple[Tensor, ...]], Mapping[str, np.ndarray]]
STACK = "image.blocks"


def main(rounds: int = 30) -> None:
    torch.set_num_threads(1)
    target = load_target("edge_cpu_fp32")
    print(f"{'':58} {'measured':>9} {'limit':>9}")
    exits(target, rounds)
    loop(target, rounds)


def exits(target: Target, rounds: int) -> None:
    spec = mmspec.load("early_exit_vit")
    costs = exit_costs(spec)
    share = costs[0] / costs[-1]
    subject = drawn(spec)
    with_exits = draft_of(subject, target)
    full = draft_of(without_exits(subject), target)
    one, eight = (plain_case(full.contract, batch, seed=5).inputs for batch in (1, 8))
    runs = {"ONNX Runtime, conditions": (run_file(full.proto), conditions(with_exits))}
    files = staged_draft_of(subject, load_target("edge_cpu_stages")).files
    runs["ONNX Runtime, stage models and host loop"] = (run_file(full.proto), lambda t: shipped(files, t))
    runs["eager torch"] = (eager(full.module), lambda thresholds: eager(with_exits.module, thresholds))
    mixed = halves(with_exits, eight)
    wanted, steps = per_sample(with_exits.module, mixed, eight)
    spent = np.mean([costs[i] for i in steps]) / costs[-1]
    print(f"exits of the mixed batch: {np.bincount(steps).tolist()}, {spent:.2f} of the full model's FLOPs")
    for name, (whole, leaving) in runs.items():
        first, never, some = leaving(forced(0)), leaving(forced(3)), leaving(mixed)
        found = some(eight)
        differ = int((found["label.exit"] != steps).sum())
        error = float(np.abs(found["label"] - wanted).max())
        print(name)
        at_most("batch 1, all leave at exit 0: time / share of FLOPs", ratio(first, whole, one, rounds) / share, 1.3)
        at_most("batch 1, no sample leaves: time / full", ratio(never, whole, one, rounds), 1.05)
        at_most("batch 8, no sample leaves: time / full", ratio(never, whole, eight, rounds), 1.05)
        at_least("batch 8, mixed exits: times faster than full", 1 / ratio(some, whole, eight, rounds), 1.7)
        at_most("batch 8, mixed exits: exits unlike the per-sample loop's", differ, 0)
        at_most("batch 8, mixed exits: largest error", error, 1e-5)


def loop(target: Target, rounds: int) -> None:
    spec = mmspec.load("early_exit_vit", ["encoders.image.halting={type: act, per: sample}"])
    subject, costs = drawn(spec), exit_costs(spec)
    subject.state[f"{STACK}.0.halting.weight"].mul_(3)  # so that samples need different numbers of steps
    subject.state[f"{STACK}.0.halting_bias"].fill_(-0.5)
    draft = draft_of(subject, target)
    one, eight = (plain_case(draft.contract, batch, seed=5).inputs for batch in (1, 8))
    print("adaptive computation time, ONNX Runtime, one Loop")
    wanted, steps = per_sample(draft.module, None, eight, "image.exit")
    found = run_file(draft.proto)(eight)
    print(f"steps of a batch: {np.bincount(steps + 1).tolist()[1:]}")
    at_most("batch 8: steps unlike those of eager torch", int((found["image.exit"] != steps).sum()), 0)
    at_most("batch 8: largest error", float(np.abs(found["label"] - wanted).max()), 1e-5)
    depth = next(iter(loops_of(draft.module).values())).steps
    runs = {k: run_file(with_arrays(draft.proto, halting_after(draft, k))) for k in range(1, depth + 1)}
    for k, run in runs.items():
        assert run(one)["image.exit"].tolist() == [k - 1]
    times = seconds(runs, one, rounds)
    x, y = np.array(list(times)), np.array(list(times.values()))
    slope, rest = np.polyfit(x, y, 1)
    at_least("batch 1: r^2 of time as a line over steps 1 to 8", float(np.corrcoef(x, y)[0, 1] ** 2), 0.99)
    half = depth // 2 - 1
    at_most("batch 1: half of the steps, time / share of FLOPs", y[half] / y[-1] / (costs[half] / costs[-1]), 1.1)
    print(f"  what does not repeat takes the time of {rest / slope:.2f} steps")


def exit_costs(spec: mmspec.spec.ModelSpec) -> list[int]:
    """FLOPs of a sample that leaves at each exit."""
    nodes = mmspec.profile(spec).to_dict()["nodes"]
    return next(node["flops_by_exit"] for node in nodes if "flops_by_exit" in node)


def drawn(spec: mmspec.spec.ModelSpec) -> Subject:
    """Random weights with which samples differ."""
    graph = lower_serving(spec)
    module = randomised(mmspec.build(spec), graph, seed=1)
    return Subject(spec, module.state_dict(), "drawn")


def without_exits(subject: Subject) -> Subject:
    """The same network; its last norm is no longer part of what is read out at each exit."""
    spec = mmspec.load("early_exit_vit", ["encoders.image.halting=none"])
    return replace(
        subject, spec=spec, state={name.replace(".readout.", "."): value for name, value in subject.state.items()}
    )


def forced(exit: int) -> np.ndarray:
    """Thresholds with which every sample leaves there."""
    return np.array([-np.inf if i == exit else np.inf for i in range(3)], np.float32)


def halves(draft: Draft, inputs: tuple[Tensor, ...]) -> np.ndarray:
    """Thresholds with which half of the samples that are left leave at each exit."""
    stack, batch = stacks_of(draft.module)[STACK], len(inputs[0])
    stack.force(stack.earlier)
    with torch.no_grad(), watching(draft.module, batch) as seen:
        draft.module(*inputs)
    alive, found = torch.ones(batch, dtype=torch.bool), []
    for _, score in seen.scores[STACK]:
        ordered = score[alive].sort().values
        half = len(ordered) // 2
        found.append(float(ordered[half - 1 : half + 1].mean()))
        alive &= score <= found[-1]
    return np.array(found, np.float32)


def conditions(draft: Draft) -> Callable[[np.ndarray], Run]:
    return lambda thresholds: run_file(with_arrays(draft.proto, {f"{STACK}.thresholds": thresholds}))


def shipped(files: Files, thresholds: np.ndarray) -> Run:
    """The stages as a package has them, with other thresholds."""
    with tempfile.TemporaryDirectory() as folder:
        for name, proto in files.protos.items():
            (Path(folder) / name).write_bytes(proto.SerializeToString())
        (Path(folder) / STAGES).write_text(json.dumps({**files.plan, "thresholds": thresholds.tolist()}))
        host = Host.load(folder, 1)
    return lambda inputs: host({name: value.numpy() for name, value in zip(files.inputs, inputs, strict=True)})


def eager(module: nn.Module, thresholds: np.ndarray | None = None) -> Run:
    def run(inputs: tuple[Tensor, ...]) -> Mapping[str, np.ndarray]:
        if thresholds is not None:
            stacks_of(module)[STACK].thresholds.copy_(torch.from_numpy(thresholds))
        with torch.no_grad():
            return {name: value.numpy() for name, value in module(*inputs).items()}

    return run


def per_sample(
    module: nn.Module, thresholds: np.ndarray | None, inputs: tuple[Tensor, ...], exit: str = "label.exit"
) -> tuple[np.ndarray, np.ndarray]:
    """Answers and exits of the samples one by one."""
    run = eager(module, thresholds)
    found = [run(tuple(value[i : i + 1] for value in inputs)) for i in range(len(inputs[0]))]
    return np.concatenate([each["label"] for each in found]), np.concatenate([each[exit] for each in found])


def halting_after(draft: Draft, steps: int) -> dict[str, np.ndarray]:
    """Weights of the halting unit that let every sample halt after so many steps: each gives a little more than 1 / steps."""
    chance = 0.9999 if steps == 1 else 1.001 * 0.99 / steps
    weight, bias = (f"{STACK}.0.{name}" for name in ("halting.weight", "halting_bias"))
    return {weight: np.zeros_like(draft.weights[weight]), bias: np.array([np.log(chance / (1 - chance))], np.float32)}


def seconds(runs: Mapping[int, Run], inputs: tuple[Tensor, ...], rounds: int) -> dict[int, float]:
    """The median time of each, of runs in turn."""
    taken: dict[int, list[float]] = {key: [] for key in runs}
    for round in range(rounds + 2):
        for key, run in runs.items():
            start = time.thread_time()
            run(inputs)
            if round >= 2:
                taken[key].append(time.thread_time() - start)
    return {key: statistics.median(times) for key, times in taken.items()}


def ratio(one: Run, other: Run, inputs: tuple[Tensor, ...], rounds: int) -> float:
    """The median of one's time over the other's, of runs in turn."""
    ratios = []
    for round in range(rounds + 2):
        taken = []
        for run in (one, other) if round % 2 else (other, one):
            start = time.thread_time()
            run(inputs)
            taken.append(time.thread_time() - start)
        ratios.append(taken[0] / taken[1] if round % 2 else taken[1] / taken[0])
    return statistics.median(ratios[2:])


def at_most(what: str, value: float, limit: float) -> None:
    print(f"  {what:56} {value:9.3g} {limit:9.3g}   {'met' if value <= limit else 'MISSED'}", flush=True)


def at_least(what: str, value: float, limit: float) -> None:
    print(f"  {what:56} {value:9.3g} {limit:9.3g}   {'met' if value >= limit else 'MISSED'}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
