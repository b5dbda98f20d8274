"""Rungs at equal training budget: `python benchmarks/rungs.py [SEEDS]`.

The same search with and without rungs, on learning curves out of formulas, so that what a spec is truly worth is known:

    accuracy(t) = end (1 - exp(-(t / tau)^0.7)) + luck + noise(t)

`end` rises with width and depth up to a limit; `tau` grows with the FLOPs, from an eighth of the training to half of it, so that
rungs are unfair to large networks; the luck of a seed has sd 0.01, and the noise of 360 validation examples changes from rung to
rung. Two kinds of problems, and a new one of its kind for each seed:

    uneven   choices that cost nothing or little differ in quality: the fusion's type, how strong dropout is in the encoders
    even     all specs lie near one curve of accuracy over FLOPs: beside it, each has a part of its own with sd 0.03

Both arms may do the same number of steps. What is compared is the hypervolume of the front that each reports, by the true
accuracies of its members (what fresh trainings would give on average), and as the search saw it. Limit: higher with rungs,
p < 0.05 in Wilcoxon's signed-rank test over the seeds.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from scipy.stats import wilcoxon

import mmspec
from mmspec.study import Front, read_study
from mmspec.study.base import open_base
from mmspec.study.candidate import digest
from mmspec.study.coordinator import Coordinator, front_of
from mmspec.study.events import silent
from mmspec.study.jobs import InProcess
from mmspec.study.plan import Plan, plan
from mmspec.study.result import Trained
from mmspec.study.search import ladder_of
from mmspec.study.store import Store

STEPS, TRIALS, SEEDS = 400, 16, 20
STUDY = f"""\
base: fusion_gated
space:
  encoders.image.width: {{int: [8, 48], step: 8}}
  encoders.image.depth: {{choice: [1, 2, 3]}}
  encoders.image.dropout: {{choice: [0.0, 0.1, 0.3]}}
  encoders.text.width: {{choice: [8, 16, 32]}}
  encoders.text.dropout: {{choice: [0.0, 0.1, 0.3]}}
  fusion.joint:
    choice:
      - {{type: concat, from: [image, text], depth: 1}}
      - {{type: cross_attention, from: [image, text], depth: {{choice: [1, 2]}}, heads: 4}}
      - {{type: transformer, from: [image, text], depth: {{choice: [1, 2]}}, heads: 4}}
      - {{type: gated, from: [image, text], depth: {{choice: [1, 2, 3]}}}}
maximize: [accuracy]
minimize: [flops.total]
recipe: {{steps: {STEPS}}}
budget: {{trials: {TRIALS}}}
confirm: 0
"""
RUNGS = "rungs: [50, 100, 200]\n"
KINDS = (("uneven", "random"), ("uneven", "tpe"), ("even", "random"))


def end(spec: mmspec.ModelSpec, problem: str) -> float:
    """What a spec comes to with endless training."""
    image, text, joint = spec.encoders["image"], spec.encoders["text"], spec.fusion["joint"]
    seen = image.width * image.depth**0.5 / 30 + text.width / 40 + 0.2 * joint.depth
    best = 0.95 - 0.6 * math.exp(-seen)
    if problem.startswith("even"):
        return best + drawn(problem, digest(spec)).gauss(0, 0.03)
    places = {"fusion": joint.type, "image": image.dropout, "text": text.dropout}
    return best * math.prod(1 - drawn(problem, place, str(chosen)).uniform(0, 0.25) for place, chosen in places.items())


def drawn(*what: object) -> random.Random:
    return random.Random("/".join(map(str, what)))


def mean(spec: mmspec.ModelSpec, problem: str, flops: float, step: int) -> float:
    tau = STEPS * min(0.5, 0.125 * (flops / 4e5) ** 0.4)
    return end(spec, problem) * (1 - math.exp(-((step / tau) ** 0.7)))


def curve(spec: mmspec.ModelSpec, problem: str, seed: int, step: int) -> float:
    expected = mean(spec, problem, flops_of(spec), step)
    luck = drawn(problem, seed).gauss(0, 0.01)
    spread = math.sqrt(max(expected, 0.01) * (1 - min(expected, 0.99)) / 360)
    return min(1.0, max(0.0, expected + luck + drawn(problem, seed, step).gauss(0, spread)))


def flops_of(spec: mmspec.ModelSpec) -> float:
    return float(mmspec.profile(spec)["flops.total"])


class Simulated:
    """Trains nothing, and counts the steps that it would have done."""

    def __init__(self, problem: str) -> None:
        self.problem, self.steps, self.specs = problem, 0, 0
        self.at: dict[str, int] = {}

    def __call__(
        self, spec: mmspec.ModelSpec, folder: Path, seed: int, tick: object, /, until: int | None = None
    ) -> Mapping[str, float]:
        step, before = until or STEPS, self.at.get(folder.name, 0)
        self.specs += before == 0
        self.steps += step - before
        self.at[folder.name] = step
        folder.mkdir(parents=True, exist_ok=True)
        return {"accuracy": curve(spec, self.problem, seed, step)}


@cache
def planned(rungs: bool, sampler: str) -> Plan:
    study = read_study(f"{STUDY}{RUNGS if rungs else ''}sampler: {sampler}\n", "study.yaml")
    return plan(study, *open_base(study))


def truly(front: Front, found: Plan, problem: str) -> float:
    """Hypervolume of the reported front, by what its members are worth: at the end of the curve, without luck."""

    def worth(t: Trained) -> Trained:
        spec = found.pricer(t.params).spec
        assert spec is not None
        return replace(t, values={**t.values, "accuracy": mean(spec, problem, t.values["flops.total"], STEPS)})

    return front.hypervolume_of([worth(t) for t in front.members]) or 0.0


def run(kind: str, sampler: str, seed: int, rungs: bool) -> tuple[Front, Simulated, float]:
    """The search itself, without the report that it ends with."""
    problem = f"{kind} {seed}"
    found, simulated = planned(rungs, sampler), Simulated(problem)
    found = replace(found, study=found.study.model_copy(update={"seed": seed}))
    fast = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=fast) as name:
        folder = Path(name)
        Store.create(folder, found.study.objectives, found.question)
        executor = InProcess(simulated, lambda params: found.base.choose(dict(params)))
        with Store.open(folder, found.study.objectives, ladder_of(found)) as store:
            Coordinator(found, store, executor, silent).run()
            front = front_of(found, store)
            return front, simulated, truly(front, found, problem)


def compare(kind: str, sampler: str, seeds: int) -> None:
    print(f"{kind} problems, sampler {sampler}")
    print(
        f"{'seed':>4} {'steps':>13} {'specs seen':>11} {'to the end':>11} {'true hypervolume':>20} {'as seen':>17}  tau"
    )
    pairs: list[tuple[float, float]] = []
    seen: list[tuple[float, float]] = []
    for seed in range(seeds):
        (plain, one, true), (halved, other, true_rungs) = (
            run(kind, sampler, seed, False),
            run(kind, sampler, seed, True),
        )
        pairs.append((true, true_rungs))
        seen.append((plain.hypervolume or 0.0, halved.hypervolume or 0.0))
        taus = " ".join("   -" if r.correlation is None else f"{r.correlation:4.2f}" for r in halved.rungs)
        print(
            f"{seed:4} {one.steps:6,} {other.steps:6,} {one.specs:5} {other.specs:5} {len(plain.trained):5} "
            f"{len(halved.trained):5} {true:10.4f} {true_rungs:9.4f} {seen[-1][0]:8.4f} {seen[-1][1]:8.4f}  {taus}",
            flush=True,
        )
    for name, values in (("true", pairs), ("as seen", seen)):
        before, after = (statistics.median(v) for v in zip(*values, strict=True))
        p = wilcoxon([b for _, b in values], [a for a, _ in values], alternative="greater").pvalue
        wins = sum(b > a for a, b in values)
        verdict = "met" if p < 0.05 else "MISSED"
        print(f"hypervolume, {name}: median {before:.4f} without, {after:.4f} with rungs; ", end="")
        print(f"{wins} of {seeds} wins, p = {p:.4f}: {verdict}")


if __name__ == "__main__":
    for kind, sampler in KINDS:
        compare(kind, sampler, int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
