"""What a search loses when it is killed (kill -9) at random moments and resumed: results, time, its front.

    serial        the search, which trains in its own process; its front beside that of a search that nobody killed
    rungs         the same of a study with a rung, of which every part of a training counts as a result
    coordinator   the search, which has two workers
    workers       one of the two workers, while the search goes on

Trainings are by formula and take a tenth of a second, to a rung too. A result is lost if its training had ended before a kill and
the front's file does not have it; it is made twice if its training, or the part of it up to a rung, began again after it had ended.

python benchmarks/survival.py [KILLS of each kind, 30] [SEED]
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STUDY = """\
base: fusion_gated
space:
  encoders.image.width: {choice: [8, 16, 32, 48]}
  encoders.text.width: {choice: [8, 16, 32]}
  fusion.joint.depth: {choice: [1, 2, 3]}
maximize: [accuracy]
minimize: [flops.total]
recipe: {steps: 2, batch: 4}
budget: {trials: 12}
confirm: 0
"""
RUNGS = "rungs: [1]\n"
TRIALS = 12
WORKERS = {"serial": 1, "rungs": 1, "coordinator": 2, "workers": 2}


def evaluate(spec: Any, folder: Path, seed: int, tick: Any, until: int | None = None) -> Mapping[str, Any]:
    with Path("begun").open("a") as file:
        file.write(f"{part(folder, until)}\n")
    Path(f"pid-{os.getpid()}").touch()
    time.sleep(0.1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.yaml").write_text(spec.to_yaml())
    work = spec.encoders["image"].width * (1 + spec.encoders["text"].width) * spec.fusion["joint"].depth
    accuracy = 0.99 - 0.5 * math.exp(-work / 900) + seed % 1000 / 1e5
    return {"accuracy": accuracy if until is None else accuracy / 2 + seed % 997 / 1e4}


def part(folder: Path, until: object = None) -> str:
    return f"{folder.name}:{until or 'end'}"


@dataclass
class Tally:
    kills: int = 0
    lost: int = 0
    twice: int = 0
    studies: int = 0
    identical: int = 0
    kept: list[int] = field(default_factory=list)  # results there were when it was killed


def main(kills: int, seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as home:
        expected = {}
        for kind in ("serial", "rungs"):
            run(begin(Path(home) / kind, kind), 1).wait()
            expected[kind] = trained(Path(home) / kind)
        print("kill -9 at random moments, then --resume\n")
        print(f"  {'of':12} {'kills':>6} {'lost':>6} {'twice':>6}   results there were, each time")
        for kind, workers in WORKERS.items():
            tally = Tally()
            while tally.kills < kills:
                folder = begin(Path(home) / f"{kind}-{tally.studies}", kind)
                survive(folder, kind, workers, kills - tally.kills, chance, tally)
                tally.studies += 1
                tally.identical += trained(folder) == expected.get(kind)
            print(f"  {kind:12} {tally.kills:6} {tally.lost:6} {tally.twice:6}   {sorted(tally.kept)}")
            if kind in expected:
                print(
                    f"  {'':12} identical to a search that nobody killed: {tally.identical} of {tally.studies} studies"
                )


def begin(folder: Path, kind: str) -> Path:
    folder.mkdir()
    (folder / "study.yaml").write_text(STUDY + (RUNGS if kind == "rungs" else ""))
    return folder


def run(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--search", folder, str(workers)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def survive(folder: Path, kind: str, workers: int, kills: int, chance: random.Random, tally: Tally) -> None:
    """One study, killed a few times on its way to the end."""
    kept: set[str] = set()
    process = run(folder, workers)
    for _ in range(min(kills, 3)):
        # up to two trainings further on; or, one time in four, at any moment of a start
        if chance.random() < 0.75:
            goal = len(begun(folder)) + chance.randint(0, 3)
            while len(begun(folder)) <= goal and process.poll() is None:
                time.sleep(0.002)
            time.sleep(chance.uniform(0.0, 0.2))
        else:
            time.sleep(chance.uniform(0.0, 4.0))
        if process.poll() is not None:
            break
        if kind != "workers":
            process.kill()
            process.wait()
        elif not kill_one(folder, chance):
            continue
        tally.kills += 1
        kept |= check(folder, kept, tally)
        tally.kept.append(len(kept))
        if kind != "workers":
            process = run(folder, workers)
    assert process.wait() == 0, process.stderr and process.stderr.read().decode()
    have = {f"{trial:03d}" for trial, *_ in trained(folder)}
    tally.lost += len({name[:3] for name in kept if name.endswith(":end")} - have)
    tally.lost += kind != "rungs" and len(have) != TRIALS  # with rungs fewer get to the end
    check(folder, kept, tally)


def kill_one(folder: Path, chance: random.Random) -> bool:
    alive = []
    for path in folder.glob("pid-*"):
        number = int(path.name.removeprefix("pid-"))
        if Path(f"/proc/{number}").exists():
            alive.append(number)
    if alive:
        os.kill(chance.choice(sorted(alive)), signal.SIGKILL)
    return bool(alive)


def check(folder: Path, kept: set[str], tally: Tally) -> set[str]:
    """What has ended by now. What had ended before and was begun since is counted."""
    mark = folder / "counted"
    before = Counter(json.loads(mark.read_text())) if mark.exists() else Counter()
    now = Counter(begun(folder))
    tally.twice += sum(now[name] - before[name] for name in kept)
    mark.write_text(json.dumps(now))
    rungs = {part(path.parent, path.stem.removeprefix("rung-")) for path in folder.glob("out/trials/*/rung-*.json")}
    return rungs | {part(path.parent) for path in folder.glob("out/trials/*/trial.json")}


def begun(folder: Path) -> list[str]:
    path = folder / "begun"
    return path.read_text().split() if path.exists() else []


def trained(folder: Path) -> list[Any]:
    """Number, params and values of all that were trained to the end: first the front, then the rest."""
    told = json.loads((folder / "out" / "front.json").read_text())
    return [[t["trial"], t["params"], t["values"]] for group in ("front", "dominated") for t in told[group]]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--search"]:
        from survival import evaluate as found_by_others  # a worker finds it by this name

        from mmspec.study import load_study, search

        os.chdir(sys.argv[2])
        search(load_study("study.yaml"), "out", resume=True, evaluate=found_by_others, workers=int(sys.argv[3]))
    else:
        numbers = [int(argument) for argument in sys.argv[1:]]
        main(*(numbers + [30, 0][len(numbers) :]))
