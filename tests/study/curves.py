"""Learning curves out of formulas: a study with rungs whose trainings do nothing but remember where they stand, in their folder."""

import math
import multiprocessing
import os
import time

from tiny import STUDY

STEPS = 100
RUNGS = "rungs: {steps: [10, 30], keep: 0.3}"
LADDER = STUDY.replace(
    "recipe: {steps: 2, batch: 4}", f"recipe: {{steps: {STEPS}, batch: 4}}\n{RUNGS}\nsampler: random"
)


def accuracy(spec, seed, step):
    """A curve that rises towards what the width of a spec allows; more blocks cost and bring nothing."""
    work = spec.encoders["image"].width
    return (0.99 - 0.5 * math.exp(-work / 60)) * (1 - math.exp(-step / 15)) + (seed % 1000) / 1e5


class Curves:
    """Evaluates by formula and counts the steps that it was asked for; goes on from where a folder was left."""

    def __init__(self):
        self.steps = 0
        self.calls = []

    def __call__(self, spec, folder, seed, tick, until=None):
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "state"
        before = int(state.read_text()) if state.exists() else 0
        end = until or STEPS
        self.steps += end - before
        self.calls.append((folder.name, before, end))
        state.write_text(str(end))
        (folder / "spec.yaml").write_text(spec.to_yaml())
        return {"accuracy": accuracy(spec, seed, end), "examples": 360}


def noted_curves(spec, folder, seed, tick, until=None):
    """As a function of a module, which writes beside the study what it does, and for which search. Where there is a file `together`
    it waits until two searches have a part in it."""
    curves, beside = Curves(), folder.parents[2]
    found = curves(spec, folder, seed, tick, until)
    host = multiprocessing.parent_process()
    with (beside / "parts").open("a") as file:
        file.write(" ".join(map(str, (*curves.calls[0], host.pid if host else os.getpid()))) + "\n")
    end = time.monotonic() + 200
    while (beside / "together").exists() and len(parts(beside)[1]) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    return found


def parts(folder):
    """Of each training, the (from, to) of what was done, in order; and the searches that had a part in any."""
    lines = [line.split() for line in (folder / "parts").read_text().splitlines()]
    found = {}
    for name, before, end, _ in lines:
        found.setdefault(name, []).append((int(before), int(end)))
    return found, {host for *_, host in lines}


CHAINS = ([(0, 10)], [(0, 10), (10, 30)], [(0, 10), (10, 30), (30, STEPS)])  # each step once, and from where it stood
