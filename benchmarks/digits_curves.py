"""Real learning curves for `rungs.py`: every spec of a small space around `fusion_gated`, each trained once, measured on the way.

    python benchmarks/digits_curves.py             how much of it is there
    python benchmarks/digits_curves.py --train     trains what is missing, one after the other; may be stopped and called again

80 specs: widths of both encoders, depth of the text's (the shallow first), five fusions. Each is trained for 400 steps on the
digits questions with a seed from its own digest; its validation accuracy after every 50 steps and its FLOPs are written to
results/digits_curves.json. The learning rate is that of the whole training, so that a value on the way is what a rung would see.
`rungs.py` is content with a part of the table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from mmspec.files import write_atomically
from mmspec.study import Study, read_study
from mmspec.study.base import open_base
from mmspec.study.candidate import Pricer, price
from mmspec.study.samplers import derived_seed

HERE = Path(__file__).resolve().parent
TABLE = HERE / "results" / "digits_curves.json"
STEPS, EVERY = 400, 50
RECIPE = {"data": "digits_questions", "steps": STEPS, "batch": 64, "learning_rate": 3e-3, "evaluate_every": EVERY}
STUDY = f"""\
base: ../specs/fusion_gated.yaml
space:
  encoders.image.width: {{choice: [8, 16, 32, 48]}}
  encoders.image.depth: {{choice: [1]}}
  encoders.text.width: {{choice: [8, 32]}}
  encoders.text.depth: {{choice: [1, 2]}}
  fusion.joint:
    choice:
      - type: gated
        from: [image, text]
        depth: {{choice: [2, 3]}}
        router: {{type: top_k, experts: 4, k: 2, balance: 0.01}}
        halting: {{type: confidence, threshold: 0.9, head: label}}
      - {{type: cross_attention, from: [image, text], depth: {{choice: [1, 2]}}}}
      - {{type: concat, from: [image, text]}}
maximize: [accuracy]
minimize: [flops.total]
recipe: {{data: digits_questions, steps: {STEPS}}}
budget: {{trials: 80}}
confirm: 0
"""


def study(more: str = "") -> Study:
    """Of the space; a line of `more` stands for the line of its key."""
    said = {line.partition(":")[0] for line in more.splitlines()}
    lines = [line for line in STUDY.splitlines() if line.partition(":")[0] not in said]
    return read_study("\n".join([*lines, more]) + "\n", str(HERE / "digits_curves.yaml"))


def curves() -> dict[str, Any]:
    """What is recorded: by digest, {"params", "flops", "seconds", "curve": {step: accuracy}}."""
    return json.loads(TABLE.read_text()) if TABLE.is_file() else {"recipe": RECIPE, "entries": {}}


def _train(params: dict[str, Any], pricer: Pricer) -> tuple[str, dict[str, Any]]:
    import mmspec

    candidate = pricer(params)
    assert candidate.spec is not None, candidate.problem
    seed = derived_seed("curves", 0, int(candidate.digest[:8], 16))
    began = time.perf_counter()
    history = mmspec.train(candidate.spec, {**RECIPE, "seed": seed}).metrics["history"]
    return candidate.digest, {
        "params": params,
        "flops": candidate.figures["flops.total"],
        "seconds": round(time.perf_counter() - began, 2),
        "curve": {str(each["step"]): each["accuracy"] for each in history},
    }


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--train", action="store_true", help="train what is missing")
    asked = parse.parse_args()
    table = curves()
    if table["recipe"] != RECIPE:
        raise SystemExit(f"{TABLE.name} was made with another recipe; move it away first")
    entries = table["entries"]
    base, space = open_base(study())
    points, there = list(space.points()), [entry["params"] for entry in entries.values()]
    print(
        f"{len(there)} of {len(points)} specs are trained, {sum(e['seconds'] for e in entries.values()):.0f} s in all"
    )
    if not asked.train:
        return
    import torch

    torch.set_num_threads(1)
    pricer = Pricer(base, (), ("flops.total",), price)
    left = [point for point in points if point not in there]
    left.sort(key=lambda p: (p["encoders.text.depth"], derived_seed("order", 0, points.index(p))))
    for point in left:
        digest, entry = _train(point, pricer)
        entries[digest] = entry
        TABLE.parent.mkdir(exist_ok=True)
        write_atomically(TABLE, json.dumps({"recipe": RECIPE, "entries": entries}, indent=1) + "\n")
        said = " ".join(f"{accuracy:.2f}" for accuracy in entry["curve"].values())
        print(f"{len(entries):4} of {len(points)}  {entry['flops']:12,}  {said}  {entry['seconds']:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
