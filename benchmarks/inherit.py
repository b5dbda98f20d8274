"""Does it help to begin with the weights of others? `python benchmarks/inherit.py [TRIALS] [STEPS]`.

Two searches over a space of digits, with `sampler: random` and the same seed: they train the same specs in the same order with the
same seeds and the same steps; in one of them (`inherit: true`) each begins with the trained weights of the nodes that it has in
common with an earlier one. Compared, training by training, are the accuracies; the first has no parent and is left out.

Whether the search knows more is another question: what a spec is worth is what it reaches from nothing with more steps. Kendall's
tau says how far each arm puts the specs in that order, and the hypervolume what the members of its front are worth. Limit: higher
accuracy, p < 0.05 in Wilcoxon's signed-rank test.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from scipy.stats import kendalltau, wilcoxon
from searching.serial import searched

from mmspec.study import Front, read_study

TRIALS, STEPS, LONGER = 21, 120, 4
BASE = """\
name: digits
inputs:
  image: {type: image, size: 8, channels: 1}
  text: {type: text, vocab_size: 257, length: 32}
encoders:
  image: {type: vit, patch_size: 2, width: 16, depth: 1, heads: 2}
  text: {type: text_transformer, width: 16, depth: 1, heads: 2}
fusion:
  joint: {type: cross_attention, from: [image, text], depth: 1, heads: 2}
heads:
  label: {type: classification, classes: 12}
objectives:
  - {type: cross_entropy, head: label, target: answer}
"""
STUDY = """\
base: digits.yaml
space:
  encoders.image.width: {{choice: [8, 16, 32]}}
  encoders.image.depth: {{choice: [1, 2]}}
  encoders.text.width: {{choice: [8, 16]}}
  fusion.joint:
    choice:
      - {{type: cross_attention, from: [image, text], depth: {{choice: [1, 2]}}, heads: 2}}
      - {{type: gated, from: [image, text], depth: {{choice: [1, 2]}}, heads: 2}}
      - {{type: concat, from: [image, text]}}
maximize: [accuracy]
minimize: [flops.total]
recipe: {{data: digits_questions, steps: {steps}, batch: 64, learning_rate: 3.0e-3, evaluate_every: {steps}}}
sampler: random
confirm: 0
"""


def run(folder: Path, trials: int, steps: int, inherit: bool) -> tuple[Front, float]:
    """The front, and the seconds."""
    said = f"budget: {{trials: {trials}}}\ninherit: {str(inherit).lower()}\n"
    study = read_study(STUDY.format(steps=steps) + said, str(folder / "study.yaml"))
    return searched(study, folder / f"{steps}-{inherit}")


def main(trials: int, steps: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "digits.yaml").write_text(BASE)
        (plain, alone), (heirs, together) = (run(folder, trials, steps, inherit) for inherit in (False, True))
        worth, _ = run(folder, trials, LONGER * steps, False)
    rows = list(zip(plain.trained, heirs.trained, worth.trained, strict=True))
    print(f"{'spec':>4} {'fresh':>7} {'inherits':>9} {'share':>6} {'generation':>11} {f'fresh, {LONGER}x':>10}")
    for one, other, long in rows:
        assert one.digest == other.digest == long.digest
        share, generation = (f"{other.parent.share:.0%}", str(other.parent.generation)) if other.parent else ("", "")
        print(
            f"{one.trial:4} {one.accuracy:7.3f} {other.accuracy:9.3f} {share:>6} {generation:>11} {long.accuracy:10.3f}"
        )
    pairs = [(one.accuracy or 0.0, other.accuracy or 0.0) for one, other, _ in rows if other.parent]
    gains = [after - before for before, after in pairs]
    p = wilcoxon(gains, alternative="greater").pvalue
    wins = sum(gain > 0 for gain in gains)
    print(
        f"{len(pairs)} children at {steps} steps: median {statistics.median(b for b, _ in pairs):.3f} fresh, "
        f"{statistics.median(a for _, a in pairs):.3f} with inherited weights, {statistics.mean(gains):+.3f} on average; "
        f"{wins} wins, p = {p:.4f}: {'met' if p < 0.05 else 'MISSED'}; seconds {alone:.0f} and {together:.0f}"
    )
    best = worth.hypervolume or 0.0
    longer = {t.digest: t for t in worth.trained}
    for arm, front in (("fresh", plain), ("inherits", heirs)):
        found = worth.hypervolume_of([longer[m.digest] for m in front.members]) or 0.0
        print(f"members of the front, {arm:>8}: {len(front)}, worth a hypervolume of {found:.3f} of {best:.3f}")
    long_run = [long.accuracy for _, other, long in rows if other.parent]
    for arm, values in (("fresh", [b for b, _ in pairs]), ("inherits", [a for _, a in pairs])):
        tau = kendalltau(values, long_run)
        print(f"order of the specs, {arm:>8}: tau {tau.statistic:+.2f} (p = {tau.pvalue:.4f}) with fresh, {LONGER}x")


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*given, *(TRIALS, STEPS)[len(given) :])
