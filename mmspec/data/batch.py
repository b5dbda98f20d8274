"""What a data set gives: batches, and the few things that a report says about it.

A training batch depends on nothing but (step, size, seed), so that a run which was stopped continues with the very
batches that it would have seen. Evaluation is one pass over a split, the same every time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mmspec.data.demand import Itself, Target
from mmspec.reading.preprocessing import Preprocessing

SPLITS = ("training", "validation", "test")


@dataclass(frozen=True)
class Batch:
    """Some examples.

    inputs   by the spec's input name: f32[B, C, H, W] images, i64[B, N] token ids (N: the longest text of the batch)
    targets  by column: i64[B]
    groups   i64[B], an index into the data set's `groups` (all 0 where it has none)
    weights  f64[B], what each example counts in an accuracy
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    groups: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Example:
    """Something to ask a trained model.   inputs: cells by name, files relative to `folder`; answers: the truth, by
    head.
    """

    inputs: dict[str, str]
    answers: dict[str, str]


class Dataset(Protocol):
    """A source of examples for one spec."""

    @property
    def name(self) -> str:
        """`digits_questions`, or the manifest's path."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """The columns of labels that the spec's objectives want, and the heads that they judge."""

    @property
    def itself(self) -> tuple[Itself, ...]:
        """The objectives that want no column, and the heads that they judge."""

    @property
    def known(self) -> str:
        """A column of `targets` that says what is on a picture, though nobody is trained with it; empty if there is none."""

    @property
    def groups(self) -> tuple[str, ...]:
        """What accuracy is also told by (a question's template, a manifest's `group`); empty if there is none."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What prediction needs: how inputs are read, and what the classes are called."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about this data and this spec, one line each."""

    def examples(self, split: str) -> int:
        """Independent examples in a split (scans, rows): what an accuracy's standard error is computed from."""

    def training_batch(self, step: int, size: int, seed: int) -> Batch:
        """The batch of a training step, a function of these three numbers alone."""

    def evaluation_batches(self, split: str, size: int) -> Iterator[Batch]:
        """One pass over a split, in a fixed order and without variation."""

    def baselines(self, split: str) -> dict[str, float]:
        """The best accuracy that less than all inputs can reach on a split, by name ("text alone")."""

    def save_example(self, folder: Path) -> Example:
        """One example of the test split (of validation, where there is none) to try a trained model on."""

    def describe(self) -> dict[str, Any]:
        """Counts, seeds, rules and weights, as JSON."""


def seed_of(purpose: str, *numbers: int) -> int:
    """A seed for one purpose out of some numbers; the same on every machine, unrelated to that of other numbers."""
    text = "/".join([purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1  # torch takes 63 bits


def generator(purpose: str, *numbers: int) -> torch.Generator:
    """A generator of random numbers for one purpose, independent of the global one."""
    return torch.Generator().manual_seed(seed_of(purpose, *numbers))


def rows_of_step(step: int, size: int, rows: int, seed: int) -> Tensor:
    """Which rows make up a step, i64[size]: shuffled epochs laid end to end, cut into steps; step 0 is the first."""
    start, stop = step * size, (step + 1) * size
    epochs = range(start // rows, (stop - 1) // rows + 1)
    order = torch.cat([torch.randperm(rows, generator=generator("order", seed, epoch)) for epoch in epochs])
    offset = start - epochs[0] * rows
    return order[offset : offset + size]


def split_rows(rows: int, shares: Mapping[str, float], seed: int) -> dict[str, Tensor]:
    """Rows dealt to splits by a seeded shuffle, each i64 and sorted; the first split takes what rounding leaves."""
    order = torch.randperm(rows, generator=generator("split", seed))
    first, *others = shares
    result, start = {}, 0
    for name in others:
        count = round(shares[name] * rows)
        result[name] = order[start : start + count].sort().values
        start += count
    return {first: order[start:].sort().values, **result}
