"""Trainings that each sampler needs to reach the hypervolume that others reach with 200: `python benchmarks/search.py`.

    --seeds 10 --problems multimodal deceptive digits --workers 2

Per seed and problem, all arms refuse what is infeasible before training and train nothing twice. The targets are the hypervolumes
after 200 trainings (of the table: after half of it) by Optuna's multivariate TPE, NSGA-II and random search. An arm that does not
reach a target within as many trainings counts with that number: medians are fair to it, means are not shown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import wilcoxon
from searching import problems
from searching.arms import Run, run

REFERENCES = {"TPE": 70, "NSGA-II": 25, "random": 20}  # arms with the claimed median of trainings
AWARE = ("stratified random", "binned TPE")  # baselines that are given the costs
KNOWN, TRAININGS = "known cost", 200


def one(task: tuple[str, int]) -> dict[str, Any] | None:
    name, seed = task
    problem = getattr(problems, name)(seed)
    if problem is None:
        return None
    trainings = TRAININGS if name != "digits" else min(TRAININGS, problem.size // 2)
    runs = {arm: run(problem, arm, seed, trainings) for arm in REFERENCES}
    target = {arm: found.volumes[-1] for arm, found in runs.items()}

    def done(found: Run) -> bool:
        return bool(found.volumes) and found.volumes[-1] >= max(target.values())

    runs |= {arm: run(problem, arm, seed, trainings, done) for arm in (KNOWN, *AWARE)}
    twice = sum(len(r.keys) - len(set(r.keys)) for r in runs.values())
    dear = sum(cost > problem.limit for r in runs.values() for cost in r.costs)
    needed = {arm: {of: found.reached(volume) for of, volume in target.items()} for arm, found in runs.items()}
    return {
        "problem": problem.name, "seed": seed, "trainings": trainings, "needed": needed, "twice": twice, "infeasible": dear,
        "slowest": max(runs[KNOWN].seconds), "typical": float(np.median(runs[KNOWN].seconds)),
    }  # fmt: skip


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--seeds", type=int, default=10)
    parse.add_argument("--problems", nargs="+", default=[g.__name__ for g in problems.GENERATORS])
    parse.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = parse.parse_args()
    if "digits" in asked.problems and problems.digits(0) is None:
        print(f"{Path(problems.TABLE).name} is not whole: python benchmarks/digits_table.py --workers N; left out")
        asked.problems.remove("digits")
    tasks = [(name, seed) for name in asked.problems for seed in range(asked.seeds)]
    with multiprocessing.get_context("spawn").Pool(asked.workers) as pool:
        found = [row for row in pool.imap(one, tasks) if row is not None]
    if not found:
        return
    for name in dict.fromkeys(row["problem"] for row in found):
        report(name, [row for row in found if row["problem"] == name])
    report("all problems", found)
    print(f"\ninfeasible trained {sum(r['infeasible'] for r in found)}, trained twice {sum(r['twice'] for r in found)}")
    print(
        f"one proposal: median {np.median([r['typical'] for r in found]):.2f} s, slowest {max(r['slowest'] for r in found):.2f} s"
    )


def report(name: str, rows: Sequence[dict[str, Any]]) -> None:
    after = " or ".join(str(n) for n in sorted({row["trainings"] for row in rows}))
    print(f"\n{name}: {len(rows)} runs; trainings to reach the hypervolume after {after} of ...")
    print(f"{'':20}" + "".join(f"{of:>24}" for of in REFERENCES))
    for arm in (KNOWN, *AWARE, *REFERENCES):
        cells = []
        for of in REFERENCES:
            counts = _counts(rows, arm, of)
            missed = sum(row["needed"][arm][of] is None for row in rows)
            low, middle, high = np.percentile(counts, [25, 50, 75])
            cells.append(f"{middle:.0f} ({low:.0f}-{high:.0f})" + (f" {missed} missed" if missed else ""))
        print(f"{arm:20}" + "".join(f"{cell:>24}" for cell in cells))
    for of, claim in REFERENCES.items():
        median = np.median(_counts(rows, KNOWN, of))
        print(f"  against {of}: median {median:.0f}, claimed {claim}: {'met' if median <= claim else 'MISSED'}")
    for arm in AWARE:
        for of in REFERENCES:
            ours, theirs = _counts(rows, KNOWN, of), _counts(rows, arm, of)
            wins, losses = int((ours < theirs).sum()), int((ours > theirs).sum())
            p = wilcoxon(ours, theirs, alternative="less").pvalue if wins + losses else 1.0
            verdict = "met" if p < 0.05 else "MISSED"
            print(f"  fewer than {arm} to reach {of}: {wins} wins, {losses} losses, p = {p:.2g}: {verdict}")


def _counts(rows: Sequence[dict[str, Any]], arm: str, of: str) -> np.ndarray[Any, Any]:
    return np.array([row["needed"][arm][of] or row["trainings"] for row in rows], dtype=float)


if __name__ == "__main__":
    main()
