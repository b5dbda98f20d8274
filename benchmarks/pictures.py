"""What is learned of pictures alone: a masked autoencoder and DINO on the embedded digits, about four minutes on two cores.

The autoencoder's error at masked patches stands beside that of the mean picture and of flat patches of the right brightness; the
nearest neighbours of DINO's features beside those of the network before training and of the pixels themselves.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin take the cores from each other

import torch

import mmspec

RECIPES: dict[str, dict[str, Any]] = {
    "digits_mae": {},
    "digits_dino": {"learning_rate": 2e-3, "average": 0.99, "augment": 0.3},
}
PAINTED, KNOWN = 0.08, 0.85


def main() -> int:
    torch.set_num_threads(2)
    print("pictures alone: digits_pictures, 1,000 steps of 64, validation")
    heads: dict[str, Any] = {}
    for name, recipe in RECIPES.items():
        result = mmspec.train(mmspec.load(name), {"data": "digits_pictures", "steps": 1000, **recipe})
        (head,) = result.metrics["validation"]["heads"].values()
        heads[name] = head
        print(f"  {name}: {result.metrics['seconds']:.0f} s")
    painted, known = heads["digits_mae"], heads["digits_dino"]
    met = painted["loss"] <= PAINTED and known["accuracy"] >= KNOWN
    print(f"  error of masked patches   {painted['loss']:.4f}   limit {PAINTED}")
    for name, limit in painted["limits"].items():
        print(f"  {name:25} {limit:.4f}   {painted['loss'] / limit:.2f} of it")
    print(f"  nearest neighbours        {known['accuracy']:.3f}   limit {KNOWN}")
    print(
        f"  before training           {known['accuracy_before']:.3f}   of the pixels {known['accuracy_of_pixels']:.3f}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
