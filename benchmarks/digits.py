"""How well `specs/fusion_gated.yaml` answers questions about digits after some two minutes of training on two cores.

Printed beside what text alone and image alone can reach at best, and beside the limits: accuracy 0.95, and 0.40 above each.
"""

from __future__ import annotations

import time

import torch

import mmspec
from mmspec.training import Recipe

ACCURACY, ABOVE = 0.95, 0.40


def main() -> None:
    torch.set_num_threads(2)
    recipe = Recipe()
    began = time.perf_counter()
    result = mmspec.train(mmspec.load("fusion_gated"), recipe)
    seconds = time.perf_counter() - began
    validation = result.metrics["validation"]
    accuracy = validation["accuracy"]
    print(
        f"fusion_gated, {recipe.steps} steps of batch {recipe.batch}, {seconds:.0f} s on {torch.get_num_threads()} threads"
    )
    print(f"  validation accuracy  {accuracy:.4f}   limit {ACCURACY}   {'met' if accuracy >= ACCURACY else 'MISSED'}")
    for name, bound in validation["baselines"].items():
        above = accuracy - bound
        print(
            f"  {name:19}  {bound:.4f}   {above:+.4f} above   limit {ABOVE:+.2f}   {'met' if above >= ABOVE else 'MISSED'}"
        )


if __name__ == "__main__":
    main()
