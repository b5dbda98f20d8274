"""Whether the gates of a gated fusion still weigh, or stand open or shut.

A gate g = sigmoid(.) mixes what a stream sees in the others (g = 1) and in itself (g = 0), for each token and channel. Near 0 or 1
its gradient g (1 - g) vanishes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmspec.cost.quantities import share
from mmspec.training.diagnostics.html import bars, table
from mmspec.training.diagnostics.subject import Figures, Section, Subject, Unfit, to_the_end
from mmspec.training.modes import evaluating

EDGE = 0.05  # saturated: nearer than this to 0 or 1
BINS = 20


def measure(subject: Subject) -> Figures | Unfit:
    """By gate: `mean`, the shares near 0 (`shut`) and near 1 (`open`), and a `histogram` of BINS shares."""
    gated = {node.name for node in subject.trained.spec.nodes if getattr(node.component, "type", "") == "gated"}
    gates = {
        name: child
        for name, child in subject.module.named_modules()
        if isinstance(child, nn.Linear)
        and name.endswith(".gate")
        and name.split(".")[0] in gated
        and name.count(".") == 3
    }
    if not gates:
        return "no fusion of this model is gated"
    counts = {name: torch.zeros(BINS, dtype=torch.float64) for name in gates}
    sums = {name: torch.zeros(3, dtype=torch.float64) for name in gates}  # of values, near 0, near 1

    def note(name: str, logits: Tensor) -> None:
        values = logits.sigmoid().flatten()
        counts[name] += values.histc(BINS, 0.0, 1.0).double()
        sums[name] += torch.stack([values.sum(), (values < EDGE).sum(), (values > 1 - EDGE).sum()]).double()

    def hook(name: str) -> Any:
        return lambda _, inputs, output: note(name, output)

    handles = [gate.register_forward_hook(hook(name)) for name, gate in gates.items()]
    try:
        with to_the_end(subject.module), evaluating(subject.module):
            for batch in subject.batches():
                subject.module(**batch.inputs)
    finally:
        for handle in handles:
            handle.remove()
    found = {}
    for name in gates:
        total = float(counts[name].sum())
        mean, shut, wide = (sums[name] / total).tolist()
        found[name] = {"mean": mean, "shut": shut, "open": wide, "histogram": (counts[name] / total).tolist()}
    return found


def draw(figures: Figures) -> str:
    rows = [
        (f"<code>{name}</code>", f"{row['mean']:.3f}", share(row["shut"], 1), share(row["open"], 1))
        for name, row in figures.items()
    ]
    labels = [f"{number / BINS:g}" if number % 5 == 0 else "" for number in range(BINS)]
    charts = "".join(
        f"<figure>{bars(labels, row['histogram'], '', small=True)}<figcaption>{name}</figcaption></figure>"
        for name, row in figures.items()
    )
    heads = ("gate", "mean", f"below {EDGE:g}", f"above {1 - EDGE:g}")
    return f"<div class=many>{charts}</div>{table(heads, rows, numbers=(1, 2, 3))}"


GATES = Section(
    "gates",
    "Gates that stand open or shut",
    "Values of each gate over samples, tokens and channels: at 0 a stream listens to itself alone, at 1 to the others alone. Near "
    "either end a gate no longer learns.",
    measure,
    draw,
)
