r"""Whether a confidence of 0.9 is right nine times in ten, at each exit.

    ECE = sum_b n_b / n |accuracy_b - confidence_b|         over bins b of equal width

Source   On Calibration of Modern Neural Networks, arXiv:1706.04599, eq. 2 and 3
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmspec.training.diagnostics.html import reliability, table
from mmspec.training.diagnostics.subject import Figures, Section, Subject, Unfit
from mmspec.training.modes import evaluating

BINS = 10


def measure(subject: Subject) -> Figures | Unfit:
    """By stack and exit, over all samples, whether they leave there or not; of a model without exits, by head."""
    if subject.stacks:
        return {
            node: [curve(sure, right, walked.weights) for sure, right in zip(walked.sure, walked.right, strict=True)]
            for node, walked in subject.journeys.items()
        }
    if subject.target is None:
        return "no head of this model tells classes"
    parts = []
    with evaluating(subject.module):
        for batch in subject.batches():
            sure, answers = subject.module(**batch.inputs)[subject.target.head].double().softmax(dim=-1).max(dim=-1)
            parts.append((sure, answers == batch.targets[subject.target.column], batch.weights))
    return {subject.target.head: [curve(*(torch.cat(column) for column in zip(*parts, strict=True)))]}


def curve(sure: Tensor, right: Tensor, weights: Tensor) -> Figures:
    """`ece`, and for each bin that is not empty its share of samples, mean confidence and accuracy."""
    place = (sure * BINS).long().clamp(max=BINS - 1)
    total = weights.sum()
    bins = []
    for number in range(BINS):
        here = weights * (place == number)
        if float(here.sum()):
            mean = [float((values.double() * here).sum() / here.sum()) for values in (sure, right)]
            bins.append({"share": float(here.sum() / total), "confidence": mean[0], "accuracy": mean[1]})
    return {"ece": sum(b["share"] * abs(b["accuracy"] - b["confidence"]) for b in bins), "bins": bins}


def draw(figures: Figures) -> str:
    parts = []
    for node, rows in figures.items():
        several = len(rows) > 1
        charts = [
            f"<figure>{reliability(row['bins'])}<figcaption>{f'block {number}' if several else node}, "
            f"ECE {row['ece']:.3f}</figcaption></figure>"
            for number, row in enumerate(rows, 1)
        ]
        parts.append(f"<div class=many>{''.join(charts)}</div>")
        if several:
            cells = [[node, *(f"{row['ece']:.3f}" for row in rows)]]
            parts.append(table(("ECE after block", *(str(number) for number in range(1, len(rows) + 1))), cells))
    return "".join(parts)


RELIABILITY = Section(
    "reliability",
    "Can a confidence be believed?",
    "Accuracy of samples by the confidence of their head, all samples at each exit. On the diagonal a head is as often right as it "
    "claims; below it, it claims too much. A dot's area is the share of samples. ECE: the mean distance from the diagonal.",
    measure,
    draw,
)
