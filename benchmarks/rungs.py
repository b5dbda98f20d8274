"""Rungs at equal training budget: `python benchmarks/rungs.py [SEEDS] [PROBLEM ...] [--sampler NAME]`.

The same search with and without rungs, in which trainings are looked up or computed instead of done. Three kinds of problems:

    digits   real learning curves: for each seed three quarters, drawn anew, of the specs that `digits_curves.py` has recorded; the
             others are refused. A budget of 12 trainings
    uneven   curves out of formulas, another problem for each seed: choices that cost nothing or little differ in quality (the
             fusion's type, how strong dropout is in the image's encoder). A budget of 16 trainings
    even     the same, all specs near one curve of accuracy over FLOPs: beside it, each has a part of its own with sd 0.03

The formula is  accuracy(t) = end (1 - exp(-(t / tau)^0.7)) + luck + noise(t):  `end` rises with width and depth up to a limit;
`tau` grows with the FLOPs, from an eighth of the training to half of it, so that curves cross and rungs are unfair to large
networks; the luck of a seed has sd 0.01, and the noise of 360 validation examples changes from rung to rung.

Both arms may do the same number of steps; rungs are at a quarter and at half of a training. What is compared is the hypervolume of
the front that each reports, by the true accuracies of its members where these are known (what fresh trainings would give on
average), by the recorded ones of digits. Limit: higher with rungs, p < 0.05 in Wilcoxon's signed-rank test over the seeds, which
are not those that the rule was chosen on.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import digits_curves
import optuna
from scipy.stats import wilcoxon

import mmspec
from mmspec.study import Front, read_study
from mmspec.study.base import open_base
from mmspec.study.candidate import COMPILES, Candidate, Pricer, digest, digest_of
from mmspec.study.coordinator import Coordinator, front_of
from mmspec.study.events import silent
from mmspec.study.jobs import InProcess
from mmspec.study.plan import Plan, plan
from mmspec.study.result import Trained
from mmspec.study.search import ladder_of
from mmspec.study.store import Store

STEPS, SEEDS, FIRST = digits_curves.STEPS, 24, 1000
STUDY = f"""\
base: fusion_gated
space:
  encoders.image.width: {{int: [8, 48], step: 8}}
  encoders.image.depth: {{choice: [1, 2, 3]}}
  encoders.image.dropout: {{choice: [0.0, 0.1, 0.3]}}
  encoders.text.width: {{choice: [8, 16, 32]}}
  fusion.joint:
    choice:
      - {{type: concat, from: [image, text], depth: 1}}
      - {{type: cross_attention, from: [image, text], depth: {{choice: [1, 2]}}, heads: 4}}
      - {{type: transformer, from: [image, text], depth: {{choice: [1, 2]}}, heads: 4}}
      - {{type: gated, from: [image, text], depth: {{choice: [1, 2, 3]}}}}
maximize: [accuracy]
minimize: [flops.total]
recipe: {{steps: {STEPS}}}
confirm: 0
"""
RUNGS = f"rungs: [{STEPS // 4}, {STEPS // 2}]"
SAMPLERS = ("known_cost", "tpe", "random")


class Problem(Protocol):
    only: frozenset[str] | None  # digests of the specs that it holds; None is all

    def curve(self, spec: mmspec.ModelSpec, seed: int, step: int) -> float:
        """What a training measures."""
        ...

    def worth(self, spec: mmspec.ModelSpec) -> float:
        """What a whole training gives on average, as far as that is known."""
        ...


class Formula:
    """A problem of a kind, drawn by its number."""

    only = None

    def __init__(self, kind: str, number: int) -> None:
        self.kind, self.name = kind, f"{kind} {number}"

    def _drawn(self, *what: object) -> random.Random:
        return random.Random("/".join(map(str, (self.name, *what))))

    def _end(self, spec: mmspec.ModelSpec) -> float:
        """What a spec comes to with endless training."""
        image, text, joint = spec.encoders["image"], spec.encoders["text"], spec.fusion["joint"]
        seen = image.width * image.depth**0.5 / 30 + text.width / 40 + 0.2 * joint.depth
        best = 0.95 - 0.6 * math.exp(-seen)
        if self.kind == "even":
            return best + self._drawn(digest(spec)).gauss(0, 0.03)
        places = {"fusion": joint.type, "image": image.dropout}
        return best * math.prod(1 - self._drawn(*place).uniform(0, 0.25) for place in places.items())

    def _mean(self, spec: mmspec.ModelSpec, step: int) -> float:
        tau = STEPS * min(0.5, 0.125 * (_flops(digest(spec), spec) / 4e5) ** 0.4)
        return self._end(spec) * (1 - math.exp(-((step / tau) ** 0.7)))

    def curve(self, spec: mmspec.ModelSpec, seed: int, step: int) -> float:
        expected = self._mean(spec, step)
        luck = self._drawn(seed).gauss(0, 0.01)
        spread = math.sqrt(max(expected, 0.01) * (1 - min(expected, 0.99)) / 360)
        return min(1.0, max(0.0, expected + luck + self._drawn(seed, step).gauss(0, spread)))

    def worth(self, spec: mmspec.ModelSpec) -> float:
        return self._mean(spec, STEPS)


_priced: dict[str, float] = {}


def _flops(key: str, spec: mmspec.ModelSpec) -> float:
    if key not in _priced:
        _priced[key] = float(mmspec.profile(spec)["flops.total"])
    return _priced[key]


class Recorded:
    """The table of real curves, or rather the part of it that belongs to a number."""

    def __init__(self, number: int) -> None:
        every = sorted(recorded())
        self.only = frozenset(random.Random(f"digits {number}").sample(every, 3 * len(every) // 4))

    def curve(self, spec: mmspec.ModelSpec, seed: int, step: int) -> float:
        return float(recorded()[digest(spec)]["curve"][str(step)])

    def worth(self, spec: mmspec.ModelSpec) -> float:
        return self.curve(spec, 0, STEPS)


@cache
def recorded() -> dict[str, Any]:
    return dict(digits_curves.curves()["entries"])


@dataclass(frozen=True)
class Remembering(Pricer):
    """Prices each point once in all studies, and refuses what is not among `only`."""

    known: dict[str, Candidate] = field(default_factory=dict)
    only: frozenset[str] | None = None

    def __call__(self, params: Mapping[str, Any]) -> Candidate:
        key = digest_of(params)
        if key not in self.known:
            self.known[key] = super().__call__(params)
        found = self.known[key]
        if self.only is None or found.problem or found.digest in self.only:
            return found
        return replace(found, problem="is not recorded", constraints={**found.constraints, COMPILES: 1.0})


class Simulated:
    """Trains nothing, and counts the steps that it would have done."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.steps = problem, 0
        self.at: dict[str, int] = {}

    def __call__(
        self, spec: mmspec.ModelSpec, folder: Path, seed: int, tick: object, /, until: int | None = None
    ) -> Mapping[str, float]:
        step = until or STEPS
        self.steps += step - self.at.get(folder.name, 0)
        self.at[folder.name] = step
        folder.mkdir(parents=True, exist_ok=True)
        return {"accuracy": self.problem.curve(spec, seed, step)}


_known: dict[str, dict[str, Candidate]] = {"digits": {}, "formulas": {}}  # prices, for all arms


@cache
def planned(kind: str, sampler: str, rungs: bool) -> Plan:
    more = f"sampler: {sampler}\n{RUNGS if rungs else ''}\nbudget: {{trials: {12 if kind == 'digits' else 16}}}\n"
    study = digits_curves.study(more) if kind == "digits" else read_study(STUDY + more, "study.yaml")
    found = plan(study, *open_base(study))
    known = _known["digits" if kind == "digits" else "formulas"]
    like = found.pricer
    return replace(found, pricer=Remembering(like.base, like.limits, like.needed, like.price, known))


def drawn(found: Plan, problem: Problem, seed: int) -> Plan:
    """With a seed's own proposals and what its problem holds."""
    pricer = replace(found.pricer, only=problem.only)
    study = found.study.model_copy(update={"seed": seed})
    return replace(found, study=study, pricer=pricer, all=tuple(pricer(c.params) for c in found.all))


def run(kind: str, sampler: str, seed: int, rungs: bool) -> tuple[Front, Simulated, float]:
    """The search itself, without the report that it ends with: its front, and the front's hypervolume by what its members are
    worth."""
    problem: Problem = Recorded(seed) if kind == "digits" else Formula(kind, seed)
    found, simulated = drawn(planned(kind, sampler, rungs), problem, seed), Simulated(problem)
    executor = InProcess(simulated, lambda params: found.base.choose(dict(params)))
    aims = found.study.objectives
    with tempfile.TemporaryDirectory() as folder:
        kept = optuna.create_study(directions=["maximize" if o.maximize else "minimize" for o in aims])
        store = Store(Path(folder), kept, aims, ladder_of(found))  # in memory: files take longer than all the rest
        Coordinator(found, store, executor, silent).run()
        front = front_of(found, store)

    def worth(t: Trained) -> Trained:
        spec = found.pricer(t.params).spec
        assert spec is not None
        return replace(t, values={**t.values, "accuracy": problem.worth(spec)})

    return front, simulated, front.hypervolume_of([worth(t) for t in front.members]) or 0.0


def compare(kind: str, sampler: str, seeds: int) -> None:
    arms = [[run(kind, sampler, FIRST + seed, rungs) for rungs in (False, True)] for seed in range(seeds)]
    before, after = ([pair[i][2] for pair in arms] for i in (0, 1))
    differ = any(abs(b - a) > 1e-12 for a, b in zip(before, after, strict=True))
    p = wilcoxon(after, before, alternative="greater").pvalue if differ else 1.0
    ratio = statistics.median(b / a for a, b in zip(before, after, strict=True))
    wins, losses = (sum(sign * (b - a) > 1e-12 for a, b in zip(before, after, strict=True)) for sign in (1, -1))
    steps = [statistics.mean(pair[i][1].steps for pair in arms) for i in (0, 1)]
    seen = [statistics.mean(len(pair[i][1].at) for pair in arms) for i in (0, 1)]
    ends = statistics.mean(len(pair[1][0].trained) for pair in arms)
    taus = [
        [pair[1][0].rungs[i].correlation for pair in arms if pair[1][0].rungs[i].correlation is not None]
        for i in range(2)
    ]
    said = "  ".join(f"{statistics.median(tau):.2f}" for tau in taus if tau)
    print(
        f"{kind:7} {sampler:10} {steps[0]:6,.0f} {steps[1]:6,.0f} {seen[0]:6.1f} {seen[1]:6.1f} {ends:6.1f}  x {ratio:.4f} "
        f"{wins:5} {losses:3}  {p:7.4f} {'met' if p < 0.05 else 'MISSED':7} {said}",
        flush=True,
    )


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("seeds", type=int, nargs="?", default=SEEDS)
    parse.add_argument("problems", nargs="*", default=["digits", "uneven", "even"])
    parse.add_argument("--sampler", choices=SAMPLERS, nargs="*", default=SAMPLERS)
    asked = parse.parse_args()
    print(f"{asked.seeds} seeds; digits: {len(recorded())} specs are recorded\n")
    print(f"{'':18} {'steps':>13} {'specs seen':>13} {'to the':>6}  {'hypervolume,':12} {'':7} ")
    print(
        f"{'':18} {'':6} {'rungs':>6} {'':6} {'rungs':>6} {'end':>6}  median    wins losses   p        tau at the rungs"
    )
    for kind in asked.problems:
        for sampler in asked.sampler:
            compare(kind, sampler, asked.seeds)
