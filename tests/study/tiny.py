"""A study that is priced for real and trained by formula, so that a whole search takes a second or two.

Run as a program it is such a search in a process of its own, which a test can kill: `python tiny.py FOLDER [--resume]`, or one of
many that share it: `python tiny.py FOLDER --storage URL [--rungs]`.
"""

import math
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where it is a program

from small_spec import small_spec

from mmspec.study import read_study, search

BASE = small_spec("tiny", size=8, length=4, vocabulary=16)

STUDY = """\
base: tiny.yaml
space:
  encoders.image.width: {choice: [8, 16, 24, 32]}
  encoders.image.depth: {choice: [1, 2, 3]}
  fusion.joint.depth: {choice: [1, 2, 3, 4]}
maximize: [accuracy]
minimize: [flops]
recipe: {steps: 2, batch: 4}
budget: {trials: 8}
"""


def study(folder, text=STUDY, base=BASE):
    """The study, read from files in a folder. Its front is not trained again unless the text says so."""
    text = text if "confirm" in text else f"{text}confirm: 0\n"
    folder = Path(folder)
    (folder / "tiny.yaml").write_text(base)
    (folder / "study.yaml").write_text(text)
    return read_study(text, str(folder / "study.yaml"))


def formula(spec, folder, seed, tick):
    """An accuracy that grows with the widths and depths, with a little noise from the seed; the folder holds the spec."""
    tick(1, 2, {"loss": 1.0})
    work = spec.encoders["image"].width * spec.encoders["image"].depth * (1 + spec.fusion["joint"].depth)
    accuracy = 0.99 - 0.5 * math.exp(-work / 60) + (seed % 1000) / 1e5
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.yaml").write_text(spec.to_yaml())
    tick(2, 2, {"loss": 0.5, "accuracy": accuracy})
    return {"accuracy": accuracy, "examples": 360, "baselines": {"text alone": 0.42}}


def heirs(spec, folder, seed, tick, until=None, begin=None):
    """The formula, with a note of what was inherited, which must be there, and a little more of it for each node."""
    nodes = begin.nodes if begin else ()
    if begin:
        assert begin.weights.is_file(), begin
    found = formula(spec, folder, seed, tick)
    (folder / "model.safetensors").write_text("weights")
    (folder / "began").write_text(" ".join(nodes))
    return {**found, "accuracy": found["accuracy"] + 1e-4 * len(nodes)}


def sleeping(spec, folder, seed, tick):
    time.sleep(2.0)
    return formula(spec, folder, seed, tick)


def deadly(spec, folder, seed, tick):
    """Kills its process, as the system does when memory is short."""
    if spec.encoders["image"].width == 32:
        os.kill(os.getpid(), signal.SIGKILL)
    return formula(spec, folder, seed, tick)


def slowly(spec, folder, seed, tick):
    with Path("begun").open("a") as begun:
        begun.write(f"{folder.name}\n")
    time.sleep(0.15)
    return formula(spec, folder, seed, tick)


def noted(spec, folder, seed, tick):
    """Slowly, writing down what begins, and for which search."""
    import multiprocessing

    host = multiprocessing.parent_process()
    with Path("begun").open("a") as file:
        file.write(f"{folder.name} {host.pid if host else os.getpid()}\n")
    time.sleep(0.4)
    return formula(spec, folder, seed, tick)


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    number = int(sys.argv[sys.argv.index("--workers") + 1]) if "--workers" in sys.argv else 1
    trials = int(sys.argv[sys.argv.index("--trials") + 1]) if "--trials" in sys.argv else 8
    try:
        if "--storage" in sys.argv:
            from mmspec.study.hosts import take_part

            url = sys.argv[sys.argv.index("--storage") + 1]
            text, evaluate = STUDY.replace("trials: 8", f"trials: {trials}"), noted
            if "--rungs" in sys.argv:
                from curves import LADDER, noted_curves

                text, evaluate = LADDER, noted_curves
            front = take_part(study(".", text), url, "out", workers=number, lease_s=4, evaluate=evaluate)
            print("front" if front else "helped")
        else:
            search(study("."), "out", resume="--resume" in sys.argv, evaluate=slowly, workers=number)
    except Exception as error:  # what the command line does
        print(error, file=sys.stderr)
        sys.exit(2)
