"""What halting and routing save on the digits questions: accuracy, mean FLOPs and time, calibrated and run to the end.

    python benchmarks/halting.py                                    the specs below
    python benchmarks/halting.py specs/a.yaml runs/b --loss 0.01    these; a folder that is trained already is not trained again

Limit: after calibration the first spec is within 0.01 of the full model's accuracy at no more than 0.6 of its mean FLOPs, on the
validation split that thresholds were chosen on; the test split, which nothing was chosen on, is printed beside it.
Times are milliseconds per example, eager, the mean over batches of the fastest of three runs; `full` is
the same module with every sample forced to the end, in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mmspec
from mmspec.backend.runtime import Stages
from mmspec.training import Goal, Recipe, calibrate
from mmspec.training.loop import EVALUATION_BATCH
from mmspec.training.metrics import evaluate
from mmspec.training.trained import Trained, open_trained

SPECS = ("halting_confidence", "fusion_gated")
LOST, SHARE = 0.01, 0.6
BATCHES = {1: 100, 64: 8}  # how many of each size are timed
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", default=SPECS)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument(
        "--loss", type=float, default=0.0, help="what calibration may lose of the accuracy on validation"
    )
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(f"{torch.get_num_threads()} threads, {asked.steps} steps, thresholds for a loss of at most {asked.loss:g}")
    heads = ("validation", "full", "test", "full", "mean FLOPs", "of full", "b1 ms", "of full", "b64 ms", "of full")
    print(f"{'':22}" + "".join(f"{head:>11}" for head in heads))
    results = []
    with tempfile.TemporaryDirectory() as place:
        for number, spec in enumerate(asked.specs):
            results.append(measure(spec, asked.steps, asked.loss, Path(place) / str(number)))
            print(row(results[-1]), flush=True)
    first = results[0]
    lost, share = first["full"]["validation"] - first["own"]["validation"], first["flops"] / first["total"]
    met = lost <= LOST and share <= SHARE
    print(
        f"{first['name']}: {lost:+.4f} lost (limit {LOST}) at {share:.3f} of the mean FLOPs (limit {SHARE})   "
        f"{'met' if met else 'MISSED'}"
    )


def measure(spec: str, steps: int, loss: float, place: Path) -> dict[str, Any]:
    """A spec trained, calibrated where it may halt, and measured against itself run to its end."""
    folder = Path(spec)
    if not (folder / "metrics.json").is_file():
        folder = place / "trained"
        mmspec.train(mmspec.load(spec), Recipe(steps=steps), folder)
    trained = open_trained(folder)
    if any(isinstance(module, Stages) for module in trained.module.modules()):
        trained = open_trained(calibrate(folder, Goal("loss", loss), out=place / "calibrated").folder)
    price = mmspec.profile(trained.spec, measured=mmspec.cost.measured(trained.folder))
    own = accuracies(trained)
    force(trained.module, to_the_end=True)
    full = accuracies(trained)
    times = {size: timed(trained, size) for size in BATCHES}
    return {
        "name": trained.spec.name, "own": own, "full": full, "times": times,
        "flops": price["flops.expected"], "total": price["flops.total"],
    }  # fmt: skip


def accuracies(trained: Trained) -> dict[str, float]:
    return {
        split: evaluate(trained.module, trained.data, split, EVALUATION_BATCH)["accuracy"]
        for split in ("validation", "test")
    }


def timed(trained: Trained, size: int) -> tuple[float, float]:
    """Milliseconds per example, as calibrated and run to the end, in turns."""
    batches = [
        batch
        for batch, _ in zip(trained.data.evaluation_batches("validation", size), range(BATCHES[size]), strict=False)
    ]
    found: dict[bool, list[float]] = {False: [], True: []}
    with torch.no_grad():
        for batch in batches:
            seconds: dict[bool, list[float]] = {False: [], True: []}
            for to_the_end in (False, True) * REPEATS:
                force(trained.module, to_the_end)
                began = time.perf_counter()
                trained.module(**batch.inputs)
                seconds[to_the_end].append(time.perf_counter() - began)
            for to_the_end, taken in seconds.items():
                found[to_the_end].append(1000 * min(taken) / len(batch.weights))
    return statistics.mean(found[False]), statistics.mean(found[True])


def force(module: nn.Module, to_the_end: bool) -> None:
    for stages in stacks(module):
        stages.force(len(stages) - 1 if to_the_end else None)


def stacks(module: nn.Module) -> Iterator[Stages]:
    return (child for child in module.modules() if isinstance(child, Stages))


def row(found: dict[str, Any]) -> str:
    cells = []
    for split in ("validation", "test"):
        cells += [f"{found['own'][split]:.4f}", f"{found['full'][split]:.4f}"]
    cells += [f"{found['flops'] / 1e6:.1f} M", f"{found['flops'] / found['total']:.3f}"]
    for own, full in found["times"].values():
        cells += [f"{own:.2f}", f"{own / full:.2f}"]
    return f"{found['name']:22}" + "".join(f"{cell:>11}" for cell in cells)


if __name__ == "__main__":
    main()
