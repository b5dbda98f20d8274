"""Counting right answers over batches: what training reports of a model, and an export of its file, by the same count."""

from __future__ import annotations

from mmspec.data.batch import Dataset
from mmspec.data.demand import Target
from mmspec.data.tally.classes import HeadTally
from mmspec.data.tally.pairs import RetrievalTally
from mmspec.data.tally.tokens import TokenTally

__all__ = ["HeadTally", "RetrievalTally", "TokenTally", "tally_of"]


def tally_of(data: Dataset, target: Target) -> HeadTally | RetrievalTally | TokenTally:
    """What counts the answers of a target's head."""
    if target.pair is not None:
        return RetrievalTally(target.pair)
    if target.text:
        return TokenTally()
    return HeadTally(data.groups, data.preprocessing.answers[target.head], target.classes)
