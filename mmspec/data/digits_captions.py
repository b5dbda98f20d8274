"""Handwritten digits with captions: the embedded data set of pairs, 1,797 real scans, each with a sentence that is true of it.

    images   the scans of `mmspec.data.digits`
    texts    the captions of `mmspec.data.captions`
    target   `caption`, which of the 60 captions: pairs with one caption belong together, for the objectives that ask

A scan belongs to the same split as in the digits questions. A training batch takes the next scans of a shuffled epoch, each moved
and scaled a little, never turned or sheared: that would make its caption false.

Evaluation is retrieval among about 64: a split is cut into groups of nearly equal size, and inside a group each picture must find a
caption that is true of it and each caption a picture that it is true of. Several scans of a group may bear one caption; any of
them is right, and what chance and simple rules reach is computed with that, exactly, for these very groups:

    chance               a pick without looking:                     mean over i of  n_i / B
    one modality alone   always the commonest caption of the group:  max_i n_i / B
    the digit alone      the commonest caption of the right digit

n_i the members of the group with the caption of i, B its size. The group's size is part of the question: it does not follow the
batch of the recipe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmspec.data.batch import SPLITS, Batch, Example, generator, rows_of_step, split_rows
from mmspec.data.captions import CAPTIONS, PER_DIGIT, captions_of
from mmspec.data.demand import Itself, Target, demand_of, refuse
from mmspec.data.digits import SHARES, load_scans, save_scan
from mmspec.data.images import Variation, resized, vary
from mmspec.reading.files import Array
from mmspec.reading.images import ImageColumn, normalise
from mmspec.reading.preprocessing import Preprocessing
from mmspec.reading.text import TextColumn, Tokenizer

if TYPE_CHECKING:
    from mmspec.spec import Diagnostic, ModelSpec

NAME = "digits_captions"
COLUMN = "caption"
GROUP = 64  # candidates among which one is to be found
MOVED = Variation(turn=0.0, shear=0.0)


class DigitsCaptions:
    """The data set for one spec.

    Raises   SpecError: the spec's inputs, length or objectives do not fit it.
    """

    name = NAME
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    itself: tuple[Itself, ...] = ()
    known = ""

    def __init__(self, spec: ModelSpec, tokenizer: Tokenizer, split_seed: int, augment: float | None) -> None:
        demand = demand_of(spec, tokenizer, pairs=COLUMN)
        texts = {name: column for name, column in demand.columns.items() if isinstance(column, TextColumn)}
        images = {name: column for name, column in demand.columns.items() if isinstance(column, ImageColumn)}
        sentences = {name: [column.read(caption) for caption in CAPTIONS] for name, column in texts.items()}
        refuse(_misfits(spec, demand.targets, sentences, texts, images))

        scans, digits = load_scans()
        self._scans = scans[:, None] / 16  # f32[S, 1, 8, 8] in [0, 1]
        self._captions = captions_of(scans, digits)
        self._columns = demand.columns
        self.targets = demand.targets
        self._images, self._texts = images, texts
        self._padded = {
            name: torch.from_numpy(texts[name].batch(rows)) for name, rows in sentences.items()
        }  # i64[60, longest]
        self._lengths = {name: torch.tensor([len(ids) for ids in rows]) for name, rows in sentences.items()}
        self._rows = split_rows(len(digits), SHARES, split_seed)
        self._split_seed = split_seed
        self._augment = 1.0 if augment is None else augment
        pairs = tuple(target.head for target in self.targets if target.pair)
        self.preprocessing = Preprocessing(
            demand.columns, {t.head: CAPTIONS for t in self.targets if not t.pair}, pairs=pairs
        )

    def examples(self, split: str) -> int:
        return len(self._rows[split])

    def training_batch(self, step: int, size: int, seed: int) -> Batch:
        rows = self._rows["training"]
        scans = rows[rows_of_step(step, size, len(rows), seed)]
        random = generator("captions", seed, step)
        pictures = {
            name: vary(self._scans[scans], (column.height, column.width), self._augment, random, MOVED)
            for name, column in self._images.items()
        }
        return self._batch(scans, pictures)

    def evaluation_batches(self, split: str, size: int) -> Iterator[Batch]:
        """The groups of a split, whatever `size` says."""
        for scans in self._groups(split):
            pictures = {
                name: resized(self._scans[scans], (column.height, column.width))
                for name, column in self._images.items()
            }
            yield self._batch(scans, pictures)

    def baselines(self, split: str) -> dict[str, float]:
        groups = [self._captions[scans].tolist() for scans in self._groups(split)]
        if not all(target.pair for target in self.targets):  # which of 60 captions, without rivals
            together = Counter(caption for group in groups for caption in group)
            return {"chance": 1 / len(CAPTIONS), "text alone": max(together.values()) / self.examples(split)}
        return {
            "chance": _share(groups, lambda counts: sum(n * n for n in counts.values()) / counts.total()),
            "one modality alone": _share(groups, lambda counts: max(counts.values())),
            "the digit alone": _share(groups, _best_of_digit),
        }

    def describe(self) -> dict[str, Any]:
        return {
            "data": NAME,
            "scans": {split: self.examples(split) for split in SPLITS},
            "split_seed": self._split_seed,
            "augment": self._augment,
            "captions": len(CAPTIONS),
            "retrieval": {split: [len(scans) for scans in self._groups(split)] for split in ("validation", "test")},
        }

    def save_example(self, folder: Path) -> Example:
        """The first scan of the test split as `example.png`, 8 x 8 pixels, and its caption."""
        row = int(self._rows["test"][0])
        caption = CAPTIONS[int(self._captions[row])]
        inputs: dict[str, str] = {}
        for name in self._columns:
            if name in self._images:
                inputs[name] = save_scan(self._scans[row, 0], folder)
            else:
                inputs[name] = caption
        return Example(inputs, {target.head: caption for target in self.targets})

    def _groups(self, split: str) -> tuple[Tensor, ...]:
        rows = self._rows[split]
        order = torch.randperm(len(rows), generator=generator("groups", self._split_seed))
        return rows[order].tensor_split(max(1, -(-len(rows) // GROUP)))

    def _batch(self, scans: Tensor, pictures: dict[str, Tensor]) -> Batch:
        captions = self._captions[scans]
        inputs: dict[str, Tensor] = {}
        for name, column in self._columns.items():
            if isinstance(column, ImageColumn):
                inputs[name] = normalise(pictures[name]).expand(-1, column.channels, -1, -1).contiguous()
            else:
                inputs[name] = self._padded[name][captions, : int(self._lengths[name][captions].max())]
        ones = torch.ones(len(scans), dtype=torch.float64)
        return Batch(inputs, {COLUMN: captions}, torch.zeros(len(scans), dtype=torch.int64), ones)


def _share(groups: list[list[int]], right: Callable[[Counter[int]], float]) -> float:
    """How many of all are right, where `right` says how many of a group are."""
    return sum(right(Counter(group)) for group in groups) / sum(map(len, groups))


def _best_of_digit(counts: Counter[int]) -> float:
    best: dict[int, int] = {}
    for caption, number in counts.items():
        digit = caption // PER_DIGIT
        best[digit] = max(best.get(digit, 0), number)
    return float(sum(best.values()))


def _misfits(
    spec: ModelSpec,
    targets: tuple[Target, ...],
    sentences: dict[str, list[Array]],
    texts: dict[str, TextColumn],
    images: dict[str, ImageColumn],
) -> Iterator[Diagnostic]:
    for name in spec.inputs:
        if name not in texts and name not in images:
            yield spec.diagnostic(f"inputs.{name}.type", f"{NAME} has pictures and texts")
    for kind, names in (("text", list(texts)), ("image", list(images))):
        for name in names[1:]:
            yield spec.diagnostic(f"inputs.{name}", f"{NAME} has one {kind}, and '{names[0]}' is already it")
    for name, rows in sentences.items():
        longest = max(len(ids) for ids in rows)
        if longest > texts[name].length:
            message = f"the longest caption of {NAME} has {longest} tokens"
            yield spec.diagnostic(f"inputs.{name}.length", message, hint=f"length: {longest} or more")
    for target in targets:
        if target.column != COLUMN:
            message = f"{NAME} has no column '{target.column}'"
            yield spec.diagnostic(f"{target.path}.target", message, expected=f"the column is: {COLUMN}")
        elif not target.pair and target.classes < len(CAPTIONS):
            message = f"{NAME} has {len(CAPTIONS)} captions, the head tells only {target.classes} apart"
            yield spec.diagnostic(f"heads.{target.head}.classes", message, hint=f"classes: {len(CAPTIONS)}")
