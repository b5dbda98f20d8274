"""Learning curves of real digit trainings, for `benchmarks/rungs.py`: `python benchmarks/curves.py`, ten minutes on an idle core.

Every spec of the study below is trained once for 400 steps; its accuracy every 50 steps goes to `benchmarks/curves.json`.
What is there is not trained again.
"""

from __future__ import annotations

import json
from pathlib import Path

from mmspec.study import read_study
from mmspec.study.base import open_base
from mmspec.study.plan import plan
from mmspec.study.samplers import derived_seed
from mmspec.training import Recipe, train

FILE = Path(__file__).with_suffix(".json")
STEPS, EVERY = 400, 50
STUDY = f"""\
base: fusion_gated
space:
  encoders.image.width: {{choice: [8, 16, 32]}}
  encoders.image.depth: {{choice: [1, 2]}}
  encoders.text.width: {{choice: [8, 16]}}
  fusion.joint:
    choice:
      - {{type: concat, from: [image, text], depth: 1}}
      - {{type: cross_attention, from: [image, text], depth: 1, heads: 4}}
      - {{type: gated, from: [image, text], depth: 2}}
maximize: [accuracy]
minimize: [flops.total]
recipe: {{steps: {STEPS}}}
budget: {{trials: 9}}
confirm: 0
"""


def main() -> None:
    study = read_study(STUDY, "curves.yaml")
    found = plan(study, *open_base(study))
    known: dict[str, list[float]] = json.loads(FILE.read_text()) if FILE.is_file() else {}
    for number, candidate in enumerate(found.all):
        if candidate.digest in known or candidate.spec is None:
            continue
        seed = derived_seed("train", 0, number)
        recipe = Recipe(steps=STEPS, batch=64, learning_rate=3e-3, evaluate_every=EVERY, seed=seed)
        history = train(candidate.spec, recipe).metrics["history"]
        known[candidate.digest] = [round(row["accuracy"], 4) for row in history]
        FILE.write_text(json.dumps(known, indent=1) + "\n")
        print(number, len(found.all), known[candidate.digest], flush=True)


if __name__ == "__main__":
    main()
