"""Handwritten digits without a question: the embedded data set of pictures, 1,797 real scans.

    images   the scans of `mmspec.data.digits`, of the same splits
    target   `digit`, one of ten, for who asks: a classifier is trained with it, and what a network has learned of pictures alone is
             measured by it

Every input of type `image` shows the same scan; one with `views` or an `area` shows parts of it in training, any other the scan,
varied a little.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmspec.data.batch import SPLITS, Batch, Example, generator, rows_of_step, split_rows
from mmspec.data.captions import DIGITS
from mmspec.data.demand import Demand, demand_of, refuse
from mmspec.data.digits import SHARES, load_scans, save_scan
from mmspec.data.images import resized, vary
from mmspec.data.views import drawn
from mmspec.reading.images import ImageColumn, normalise
from mmspec.reading.preprocessing import Preprocessing
from mmspec.reading.text import Tokenizer
from mmspec.reading.views import ViewsColumn

if TYPE_CHECKING:
    from mmspec.spec import Diagnostic, ModelSpec

NAME = "digits_pictures"
COLUMN = "digit"


class DigitsPictures:
    """The data set for one spec.

    Raises   SpecError: the spec's inputs, column or classes do not fit it.
    """

    name = NAME
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    known = COLUMN

    def __init__(self, spec: ModelSpec, tokenizer: Tokenizer, split_seed: int, augment: float | None) -> None:
        demand = demand_of(spec, tokenizer, pictures=True)
        refuse(_misfits(spec, demand))
        scans, self._digits = load_scans()
        self._scans = scans[:, None] / 16  # f32[S, 1, 8, 8] in [0, 1]
        self._columns = demand.columns
        self.targets, self.itself = demand.targets, demand.itself
        self._rows = split_rows(len(scans), SHARES, split_seed)
        self._split_seed = split_seed
        self._augment = 1.0 if augment is None else augment
        self.preprocessing = Preprocessing(demand.columns, {target.head: DIGITS for target in demand.targets})

    def examples(self, split: str) -> int:
        return len(self._rows[split])

    def training_batch(self, step: int, size: int, seed: int) -> Batch:
        rows = self._rows["training"]
        scans = rows[rows_of_step(step, size, len(rows), seed)]
        random = generator("pictures", seed, step)
        inputs: dict[str, Tensor] = {}
        for name, column in self._columns.items():
            pictures = self._scans[scans]
            if isinstance(column, ViewsColumn):
                pictures = pictures.expand(-1, column.channels, -1, -1)
                inputs[name] = drawn(column, pictures, self._augment, random)
            elif isinstance(column, ImageColumn):
                varied = vary(pictures, (column.height, column.width), self._augment, random)
                inputs[name] = normalise(varied).expand(-1, column.channels, -1, -1).contiguous()
        return self._batch(scans, inputs)

    def evaluation_batches(self, split: str, size: int) -> Iterator[Batch]:
        for scans in torch.split(self._rows[split], size):
            inputs: dict[str, Tensor] = {}
            for name, column in self._columns.items():
                pictures = self._scans[scans]
                if isinstance(column, ViewsColumn):
                    inputs[name] = torch.from_numpy(column.whole(pictures.expand(-1, column.channels, -1, -1).numpy()))
                elif isinstance(column, ImageColumn):
                    whole = normalise(resized(pictures, (column.height, column.width)))
                    inputs[name] = whole.expand(-1, column.channels, -1, -1).contiguous()
            yield self._batch(scans, inputs)

    def baselines(self, split: str) -> dict[str, float]:
        """The commonest digit."""
        counts = torch.bincount(self._digits[self._rows[split]])
        return {"commonest digit": float(counts.max()) / self.examples(split)}

    def describe(self) -> dict[str, Any]:
        return {
            "data": NAME,
            "scans": {split: self.examples(split) for split in SPLITS},
            "split_seed": self._split_seed,
            "augment": self._augment,
        }

    def save_example(self, folder: Path) -> Example:
        """The first scan of the test split as `example.png`, 8 x 8 pixels, and its digit."""
        row = int(self._rows["test"][0])
        scan = save_scan(self._scans[row, 0], folder)
        digit = DIGITS[int(self._digits[row])]
        return Example(dict.fromkeys(self._columns, scan), {target.head: digit for target in self.targets})

    def _batch(self, scans: Tensor, inputs: dict[str, Tensor]) -> Batch:
        ones = torch.ones(len(scans), dtype=torch.float64)
        groups = torch.zeros(len(scans), dtype=torch.int64)
        return Batch(inputs, {COLUMN: self._digits[scans]}, groups, ones)


def _misfits(spec: ModelSpec, demand: Demand) -> Iterator[Diagnostic]:
    shown: dict[str, str] = {}
    for name, column in demand.columns.items():
        if not isinstance(column, ImageColumn | ViewsColumn):
            yield spec.diagnostic(f"inputs.{name}.type", f"{NAME} has pictures", expected="type: image")
            continue
        first = shown.setdefault(demand.source(name), name)
        if len(shown) > 1 and first == name:
            other = next(iter(shown))
            message = f"{NAME} has one picture, and '{shown[other]}' shows it"
            yield spec.diagnostic(f"inputs.{name}", message, hint=f"column: {other}, to show it twice")
    for target in demand.targets:
        if target.column != COLUMN:
            message = f"{NAME} has no column '{target.column}'"
            yield spec.diagnostic(f"{target.path}.target", message, expected=f"the column is: {COLUMN}")
        elif target.classes < len(DIGITS):
            message = f"{NAME} has {len(DIGITS)} digits, the head tells only {target.classes} apart"
            yield spec.diagnostic(f"heads.{target.head}.classes", message, hint=f"classes: {len(DIGITS)}")
