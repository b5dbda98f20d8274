"""Whether pictures and captions, and sounds and words, are learnt in a minute on two cores, beside what is trivial.

Each accuracy stands beside chance and beside the best that less than everything can give (see `mmspec.data.digits_captions` and
`mmspec.data.spoken_words`), with its standard error. Both losses of pairs are trained alike: CLIP's, and SigLIP's with a bias for
small batches and equal captions as right answers. SigLIP's starts more slowly.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin take the cores from each other

import torch

import mmspec
from mmspec.training import Recipe

LOSSES = {
    "info_nce": [],
    "sigmoid": [
        "objectives=[{type: sigmoid, head: similarity, target: caption}]",
        "heads.similarity.temperature=0.1",
        "heads.similarity.bias=-4.0",  # ln(1 / 60), about: one pair in sixty goes together
        "heads.similarity.limit=null",
    ],
}


def main() -> None:
    torch.set_num_threads(2)
    for name, overrides in LOSSES.items():
        show(f"digits_clip, {name}", mmspec.load("digits_clip", overrides), Recipe(data="digits_captions", steps=150))
    show("spoken_words", mmspec.load("spoken_words"), Recipe(data="spoken_words", steps=120))


def show(name: str, spec: mmspec.ModelSpec, recipe: Recipe) -> None:
    began = time.perf_counter()
    metrics = mmspec.train(spec, recipe).metrics
    validation = metrics["validation"]
    print(f"{name}: {recipe.steps} steps of {recipe.batch}, {time.perf_counter() - began:.0f} s")
    accuracy, error = validation["accuracy"], validation["standard_error"]
    print(f"  {'validation accuracy':27} {accuracy:.3f} ± {error:.3f}")
    for rule, bound in validation["baselines"].items():
        print(
            f"  {rule:27} {bound:.3f}   {accuracy / bound:.1f} times, {(accuracy - bound) / error:.0f} standard errors above"
        )


if __name__ == "__main__":
    main()
