"""Fronts out of formulas, for what is drawn and written."""

import math
import random
from pathlib import Path

from mmspec.study.result import Front, Objective, Trained

BASELINES = {"text alone": 0.424, "image alone": 0.251}
OBJECTIVES = (Objective("accuracy", True), Objective("flops.total", False))


def trained(number, accuracy, flops, params, folder=Path("runs/made"), examples=360):
    """A network as training reports it, with 30 answers per class in its confusion table."""
    right = round(30 * accuracy)
    confusion = [[right if i == j else (30 - right if j == (i + 1) % 12 else 0) for j in range(12)] for i in range(12)]
    head = {
        "accuracy": accuracy,
        "loss": -math.log(accuracy),
        "groups": {"which": accuracy - 0.02, "even": min(1.0, accuracy + 0.02)},
        "classes": [*map(str, range(10)), "yes", "no"],
        "confusion": confusion,
    }
    metrics = {"accuracy": accuracy, "examples": examples, "baselines": BASELINES, "heads": {"label": head}}
    figures = {"flops.total": flops, "parameters.total": flops // 40, "memory.weights": flops // 10}
    values = {"accuracy": accuracy, "flops.total": flops}
    return Trained(
        number, params, f"{number:016x}", values, figures, metrics, 20.0 + number, folder / "trials" / str(number)
    )


def front(folder=Path("runs/made"), count=12, seed=3):
    generator = random.Random(seed)
    found = []
    for number in range(count):
        depth, width = generator.choice([1, 2, 3]), generator.choice([32, 64, 96, 128])
        flops = int(3e5 * width * depth * (1 + width / 200))
        accuracy = round(min(0.99, 1 - 0.5 * math.exp(-flops / 3e7) - 0.03 * generator.random()), 4)
        params = {"fusion.joint.depth": depth, "encoders.image.width": width}
        found.append(trained(number, accuracy, flops, params, folder))
    refused = {"breaks parameters.total <= 2e+06": 3}
    return Front("made", folder, OBJECTIVES, tuple(found), refused, {"diverged": 1}, 2, (0.0, 2e8))
