"""Where samples leave, how right they are there, and whether that was the best exit."""

from __future__ import annotations

import torch

from mmspec.cost import profile
from mmspec.cost.quantities import quantity, share
from mmspec.training.diagnostics.html import bars, table
from mmspec.training.diagnostics.subject import Figures, Section, Subject, Unfit
from mmspec.training.exits import exits
from mmspec.training.loop import EVALUATION_BATCH

NO_EXITS = "no stack of this model may be left early"


def measure(subject: Subject) -> Figures | Unfit:
    """By stack, a row for each exit: what `training.exits` says, and what the whole model computes up to there."""
    if not subject.stacks:
        return NO_EXITS
    trained = subject.trained
    price = profile(trained.spec)
    spent = {
        node.name: [price.need("flops.total") - node.exits[-1] + each for each in node.exits]
        for node in price.nodes
        if node.exits
    }
    rows = exits(trained.spec, subject.module, trained.data, subject.split, EVALUATION_BATCH)
    return {
        node: [{**row, "flops": flops} for row, flops in zip(each, spent[node], strict=True)]
        for node, each in rows.items()
    }


def draw(figures: Figures) -> str:
    parts = []
    for node, rows in figures.items():
        chart = bars(
            [f"{row['exit'] + 1}" for row in rows],
            [row["share"] for row in rows],
            f"share of samples leaving {node} after block",
        )
        cells = [
            (
                f"{row['exit'] + 1}",
                share(row["share"], 1),
                "" if row["accuracy"] is None else f"{row['accuracy']:.3f}",
                f"{row['if_forced']:.3f}",
                quantity(row["flops"]),
            )
            for row in rows
        ]
        heads = (f"{node}, block", "samples", "accuracy of these", "of all, if all left here", "FLOPs")
        parts.append(f"<div class=split>{chart}{table(heads, cells)}</div>")
    return "".join(parts)


def measure_best(subject: Subject) -> Figures | Unfit:
    """By stack: shares of samples whose exit was the earliest right one (best), right but later than needed (late), wrong though a
    later block is right (early), wrong though an earlier block was right (past), or right nowhere (never)."""
    if not subject.stacks:
        return NO_EXITS
    found = {}
    for node, (stages, _) in subject.stacks.items():
        walked = subject.journeys[node]
        taken, blocks = walked.exits(stages.thresholds), torch.arange(stages.exits)[:, None]
        right = walked.at(walked.right, taken)
        earliest = torch.where(walked.right, blocks, stages.exits).amin(dim=0)
        later = (walked.right & (blocks > taken)).any(dim=0)
        kinds = {
            "best": right & (taken == earliest),
            "late": right & (taken > earliest),
            "early": ~right & later,
            "past": ~right & ~later & (earliest < taken),
            "never": earliest == stages.exits,
        }
        found[node] = {
            **{name: walked.mean(kind) for name, kind in kinds.items()},
            "earliest_right": [walked.mean(earliest == exit) for exit in range(len(stages))],
        }
    return found


WORDS = {
    "best": "left after the earliest block that is right",
    "late": "right, but an earlier block was right already",
    "early": "wrong, and a later block would have been right",
    "past": "wrong, and an earlier block had been right",
    "never": "right after no block",
}


def draw_best(figures: Figures) -> str:
    parts = []
    for node, row in figures.items():
        chart = bars(
            [f"{exit + 1}" for exit in range(len(row["earliest_right"]))],
            row["earliest_right"],
            "share of samples whose earliest right block is",
        )
        cells = [(f"<b>{name}</b>", words, share(row[name], 1)) for name, words in WORDS.items()]
        parts.append(f"<div class=split>{chart}{table((node, '', 'samples'), cells, numbers=(2,))}</div>")
    return "".join(parts)


EXITS = Section(
    "exits",
    "Where samples leave",
    "A bar is the share of samples that leave after a block; FLOPs are those of the whole model.",
    measure,
    draw,
)
BEST_EXIT = Section(
    "best_exit",
    "Was it the best exit?",
    "The best exit is the earliest at which the head is right, so that nothing is computed in vain.",
    measure_best,
    draw_best,
)
