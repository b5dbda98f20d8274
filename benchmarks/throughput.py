"""How much of the time of a search is its own: proposing, pricing, the store, handing over.

    slots    four workers whose trainings sleep for 10 s, and for 2 s, from the first beginning to the last end: the share of an
             ideal of four slots, never idle. (Starting the workers, once, is printed apart.)
    turns    trainings that take no time: all of the search's time, a training's share set against 30 s of training

python benchmarks/throughput.py [slots] [turns]
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmspec.study import events, read_study, search
from mmspec.study.evaluation import Evaluate

STUDY = """\
base: fusion_gated
space:
  encoders.image.width: {choice: [8, 16, 32, 48, 64]}
  encoders.image.depth: {choice: [1, 2, 3]}
  encoders.text.width: {choice: [8, 16, 32]}
  encoders.text.depth: {choice: [1, 2, 3]}
  fusion.joint.depth: {choice: [1, 2, 3]}
maximize: [accuracy]
minimize: [flops.total]
recipe: {steps: 2, batch: 4}
budget: {trials: TRIALS}
confirm: 0
"""
SLOTS, TRAINING_S = 4, 30.0


def main(asked: list[str]) -> None:
    for name, measure in {"slots": slots, "turns": turns}.items():
        if not asked or name in asked:
            measure()


def at_once(spec: Any, folder: Path, seed: int, tick: Any) -> dict[str, Any]:
    tick(0, 1, {})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.yaml").write_text(spec.to_yaml())
    width, depth = spec.encoders["image"].width, spec.fusion["joint"].depth
    return {"accuracy": 0.99 - 1 / (1 + width * depth) + seed % 1000 / 1e5}


def asleep(seconds: float, *training: Any) -> Mapping[str, Any]:
    began = time.time()  # of one clock for all processes
    metrics = at_once(*training)
    time.sleep(seconds)
    return metrics | {"began": began, "ended": time.time()}


def long(spec: Any, folder: Path, seed: int, tick: Any) -> Mapping[str, Any]:
    return asleep(10.0, spec, folder, seed, tick)


def short(spec: Any, folder: Path, seed: int, tick: Any) -> Mapping[str, Any]:
    return asleep(2.0, spec, folder, seed, tick)


def slots() -> None:
    import throughput  # workers find its functions by this name

    busy(16, 10.0, throughput.long)
    busy(24, 2.0, throughput.short)


def busy(trials: int, seconds: float, evaluate: Evaluate) -> None:
    started = time.time()
    with tempfile.TemporaryDirectory() as home:
        study = read_study(STUDY.replace("TRIALS", str(trials)))
        front = search(study, Path(home) / "out", evaluate=evaluate, workers=SLOTS)
    first = min(t.metrics["began"] for t in front.trained)
    took, ideal = max(t.metrics["ended"] for t in front.trained) - first, trials * seconds / SLOTS
    print(
        f"{trials} trainings of {seconds:g} s by {SLOTS} workers: {took:.2f} s, ideal {ideal:.2f} s, {ideal / took:.3f} of it"
    )
    print(f"  (before the first: {first - started:.1f} s)")


def turns(trials: int = 60) -> None:
    ends: list[float] = []

    def hear(event: Any) -> None:
        if isinstance(event, events.Started | events.Finished):
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as home:
        search(read_study(STUDY.replace("TRIALS", str(trials))), Path(home) / "out", evaluate=at_once, events=hear)
    each = (ends[-1] - ends[0]) / trials
    longest = max(after - before for before, after in itertools.pairwise(ends))
    print(f"{trials} trainings that take no time: {each * 1000:.0f} ms each, the longest {longest * 1000:.0f} ms")
    print(f"  beside a training of {TRAINING_S:g} s: {each / TRAINING_S:.2%} of the time")


if __name__ == "__main__":
    main(sys.argv[1:])
