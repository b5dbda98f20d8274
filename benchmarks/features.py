"""A study around a frozen encoder, with its outputs shared and without: `python benchmarks/features.py [TRIALS]`.

A ViT is trained for some steps on the embedded digits, and its encoder is then frozen; the study looks for what should follow it.
Both arms train the same specs with the same seeds; one computes the encoder once for each picture, the other in every step of every
training. Limits: at least 3 times the trainings per minute, and the same accuracies to the digit.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from searching.serial import searched

import mmspec
from mmspec.study import Front, read_study
from mmspec.training import train

FASTER, TRIALS = 3.0, 4
BASE = """\
name: backbone
inputs:
  image: {type: image, size: 32, channels: 3}
  text:  {type: text, vocab_size: 257, length: 32}
encoders:
  image: {type: vit, patch_size: 4, width: 128, depth: 4, heads: 4}
  text:  {type: text_transformer, width: 16, depth: 1, heads: 2}
fusion:
  joint: {type: cross_attention, from: [image, text], depth: 1, heads: 2, width: 32}
heads:
  label: {type: classification, classes: 12}
objectives:
  - {type: cross_entropy, head: label, target: answer}
"""
STUDY = """\
base: frozen.yaml
space:
  encoders.text.width: {choice: [8, 16, 32]}
  fusion.joint.depth: {choice: [1, 2]}
maximize: [accuracy]
minimize: [flops.total]
recipe: {data: digits_questions, steps: 60, batch: 64, evaluate_every: 60, augment: 0.0}
confirm: 0
"""


def run(folder: Path, features: str, trials: int) -> tuple[Front, float]:
    """The front and the minutes of all trainings together."""
    study = read_study(f"{STUDY}budget: {{trials: {trials}}}\nfeatures: {features}\n", str(folder / "study.yaml"))
    front, seconds = searched(study, folder / features)
    return front, seconds / 60


def main(trials: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "backbone.yaml").write_text(BASE)
        train(
            mmspec.load(folder / "backbone.yaml"), {"steps": 10, "batch": 16, "evaluate_every": 10}, folder / "backbone"
        )
        frozen = BASE.replace("depth: 4, heads: 4}", "depth: 4, heads: 4, frozen: true}")
        (folder / "frozen.yaml").write_text(f"{frozen}weights: {{image: backbone/model.safetensors}}\n")
        (own, slow), (shared, fast) = run(folder, "own", trials), run(folder, "shared", trials)
    print(f"{'spec':>4} {'accuracy, own':>14} {'shared':>8} {'seconds, own':>13} {'shared':>8}")
    same = True
    for one, other in zip(own.trained, shared.trained, strict=True):
        same &= one.digest == other.digest and one.accuracy == other.accuracy
        print(f"{one.trial:4} {one.accuracy:14.4f} {other.accuracy:8.4f} {one.seconds:13.1f} {other.seconds:8.1f}")
    ratio = slow / fast
    met = "met" if ratio >= FASTER and same else "MISSED"
    print(
        f"{trials / slow:.1f} trainings per minute alone, {trials / fast:.1f} with shared outputs: {ratio:.1f} times; "
        f"accuracies {'equal' if same else 'DIFFERENT'}; at least {FASTER:g} times and equal wanted: {met}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS)
