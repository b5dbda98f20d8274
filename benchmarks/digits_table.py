"""A table of real trainings for `search.py`: every spec of a small space around `fusion_gated`, each trained once.

    python benchmarks/digits_table.py                 how much of it is there
    python benchmarks/digits_table.py --workers 2     trains what is missing; may be stopped and called again

240 specs: widths and depths of both encoders, and three fusions with parameters of their own. Each is trained for 300 steps on the
digits questions with a seed from its own digest, and its validation accuracy and FLOPs are written to results/digits_table.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from mmspec.files import write_atomically
from mmspec.study import Study, read_study
from mmspec.study.base import open_base
from mmspec.study.candidate import Pricer, price
from mmspec.study.space import Space

HERE = Path(__file__).resolve().parent
TABLE = HERE / "results" / "digits_table.json"
RECIPE = {"data": "digits_questions", "steps": 300, "batch": 64, "learning_rate": 3e-3}
STUDY = """\
base: ../specs/fusion_gated.yaml
space:
  encoders.image.width: {choice: [8, 16, 32, 48]}
  encoders.image.depth: {choice: [1, 2]}
  encoders.text.width: {choice: [8, 16, 32]}
  encoders.text.depth: {choice: [1, 2]}
  fusion.joint:
    choice:
      - type: gated
        from: [image, text]
        depth: {choice: [2, 3]}
        router: {type: top_k, experts: 4, k: 2, balance: 0.01}
        halting: {type: confidence, threshold: 0.9, head: label}
      - {type: cross_attention, from: [image, text], depth: {choice: [1, 2]}}
      - {type: concat, from: [image, text]}
maximize: [accuracy]
minimize: [flops.total]
recipe: {data: digits_questions}
budget: {trials: 240}
"""


def study() -> Study:
    return read_study(STUDY, str(HERE / "digits_table.yaml"))


def space() -> Space:
    return open_base(study())[1]


def _train(params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    import torch

    import mmspec
    from mmspec.study.samplers import derived_seed

    torch.set_num_threads(1)
    candidate = Pricer(open_base(study())[0], (), ("flops.total",), price)(params)
    began = time.perf_counter()
    recipe = {**RECIPE, "seed": derived_seed("table", 0, int(candidate.digest[:8], 16))}
    assert candidate.spec is not None, candidate.problem
    metrics = mmspec.train(candidate.spec, recipe).metrics["validation"]
    found = {
        "params": params,
        "flops": candidate.figures["flops.total"],
        "parameters": candidate.figures["parameters.total"],
        "accuracy": metrics["accuracy"],
        "seconds": round(time.perf_counter() - began, 2),
    }
    return candidate.digest, found


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--workers", type=int, default=0, help="trainings at once; 0 only says what is there")
    parse.add_argument("--limit", type=int, help="trains at most so many now")
    asked = parse.parse_args()
    table = json.loads(TABLE.read_text()) if TABLE.is_file() else {"recipe": RECIPE, "entries": {}}
    if table["recipe"] != RECIPE:
        raise SystemExit(f"{TABLE.name} was made with another recipe; move it away first")
    entries = table["entries"]
    there = [entry["params"] for entry in entries.values()]
    points = list(space().points())
    left = [point for point in points if point not in there]
    left = (
        [left[i * 101 % len(left)] for i in range(len(left))] if len(left) % 101 else left
    )  # any part is a fair sample
    print(
        f"{len(there)} of {len(points)} specs are trained, {sum(e['seconds'] for e in entries.values()):.0f} s in all"
    )
    if not asked.workers:
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with multiprocessing.get_context("spawn").Pool(asked.workers) as pool:
        for digest, entry in pool.imap_unordered(_train, left[: asked.limit]):
            entries[digest] = entry
            TABLE.parent.mkdir(exist_ok=True)
            write_atomically(TABLE, json.dumps({"recipe": RECIPE, "entries": entries}, indent=1))
            print(
                f"{len(entries):4} of {len(points)}  {entry['accuracy']:.3f}  {entry['flops']:12,}  {entry['seconds']:6.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
