"""The user's own data: a CSV or JSON Lines file with a row per example.

    image,text,answer,split
    scans/001.png,which digit is this?,seven,training

A column for each input of the spec, by its name or its `column` (a picture's path, relative to the manifest; a text), and
one for each objective's `target`; a text whose tokens are guessed is its own, and what is learned from pictures alone needs
none. More may be there: `split` (training, validation, test), `group` (accuracy is also told by it), and, beside pictures
alone, `label`: what is on them, to measure by. Without `split`, rows are dealt 80 / 10 / 10 by a seeded shuffle, and
rows that share a picture stay together. Everything that is wrong is told at once, before anything starts: every picture
is read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mmspec.data.batch import SPLITS, Batch, Example, generator, rows_of_step, split_rows
from mmspec.data.demand import Demand, demand_of
from mmspec.data.images import vary
from mmspec.data.labels import classes_of, index_of, names_of
from mmspec.data.masking import following, hide, hidings
from mmspec.data.table import Problems, Row, listed, read_table
from mmspec.data.views import drawn
from mmspec.errors import UserError
from mmspec.files import write_atomically
from mmspec.reading.columns import Column
from mmspec.reading.files import Array
from mmspec.reading.images import ImageColumn
from mmspec.reading.preprocessing import Preprocessing, describe, length_problem
from mmspec.reading.text import Tokenizer
from mmspec.reading.views import ViewsColumn

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec

SPLIT, GROUP, LABEL = "split", "group", "label"
SPLIT_NAMES = {
    "training": "training", "train": "training",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test",
}  # fmt: skip
SHARES = {"training": 0.8, "validation": 0.1, "test": 0.1}
KEPT_BYTES = 2**30  # decoded pictures up to this are kept in memory; more are read again for each batch


class Manifest:
    """The data set of one manifest for one spec.

    Raises   UserError: the file, its columns, or any row of it; SpecError: an input that no column can be read for.
    """

    def __init__(
        self, path: Path, spec: ModelSpec, tokenizer: Tokenizer, split_seed: int, augment: float | None
    ) -> None:
        demand = demand_of(spec, tokenizer, texts=True, pictures=True)
        problems = Problems(path)
        columns, rows = read_table(path, problems)
        self.name = str(path)
        self.notes = _check_columns(path, columns, demand)
        self._path, self._demand = path, demand
        self._augment = augment or 0.0
        self._split_seed = split_seed

        self._stores = {
            name: _Store(demand.source(name), column, rows, path.parent, problems)
            for name, column in demand.columns.items()
        }
        self.targets, self.itself = demand.targets, demand.itself
        self._hidings = hidings(spec)
        judged = {target.column: target for target in demand.targets if not target.text}
        self._classes = {column: classes_of(target, rows, problems) for column, target in judged.items()}
        self.known = next(iter(judged), LABEL if demand.itself and LABEL in columns else "")
        if self.known and not judged:
            self._classes[LABEL] = names_of(LABEL, rows, problems)
        given = SPLIT in columns
        if given:
            _check_splits(rows, problems)
        problems.refuse(len(rows))

        self._count = len(rows)
        self._labels = {
            column: torch.tensor([index_of(row.cells[column], names) for row in rows])
            for column, names in self._classes.items()
        }
        self.groups = tuple(sorted({row.cells.get(GROUP, "") for row in rows})) if GROUP in columns else ()
        place = {group: index for index, group in enumerate(self.groups)}
        self._group_of = torch.tensor([place.get(row.cells.get(GROUP, ""), 0) for row in rows])
        self._rows = _given_splits(rows) if given else self._deal(split_seed)
        self._split_is_given = given
        for split in ("training", "validation"):
            if not len(self._rows[split]):
                why = "" if given else "; it takes at least 3 different pictures or rows to split"
                raise UserError(f"{path} has no {split} rows{why}")
        self.preprocessing = Preprocessing(
            demand.columns,
            {t.head: self._classes[t.column] for t in demand.targets if not t.text},
            texts={
                t.head: t.text for t in demand.targets if t.text and t.text != t.column
            },  # not those that are hidden
        )

    def examples(self, split: str) -> int:
        return len(self._rows[split])

    def training_batch(self, step: int, size: int, seed: int) -> Batch:
        rows = self._rows["training"][rows_of_step(step, size, len(self._rows["training"]), seed)]
        parts, random = generator("views", seed, step), generator("manifest", seed, step)
        batch = self._batch(rows, generator("hidden", seed, step), parts)
        if self._augment:
            for name, column in self._demand.columns.items():
                if isinstance(column, ImageColumn):
                    shape = (column.height, column.width)
                    batch.inputs[name] = vary(batch.inputs[name], shape, self._augment, random)
        return batch

    def evaluation_batches(self, split: str, size: int) -> Iterator[Batch]:
        rows = self._rows[split]
        for store in self._stores.values():
            if not store.column.is_file:  # texts alike in length share a batch
                rows = rows[store.lengths[rows].sort(stable=True).indices]
                break
        for start in range(0, len(rows), size):
            yield self._batch(rows[start : start + size], generator("hidden", start))

    def baselines(self, split: str) -> dict[str, float]:
        """The commonest label; and the best from one input alone, where each of its values has 5 rows on average. Of a text whose
        tokens are guessed, the commonest token. Of pictures alone, nothing.

        For several objectives: of the first that has a label, or of the first.
        """
        rows = self._rows[split].tolist()
        if not rows:
            return {}
        if not self._labels and not self.targets:
            return {}
        if not self._labels:
            tokens = self._stores[self.targets[0].text].tokens(rows)
            return {"commonest token": max(tokens.values()) / sum(tokens.values())}
        column = next(iter(self._labels))
        labels = [int(self._labels[column][row]) for row in rows]
        result = {"commonest label": max(Counter(labels).values()) / len(rows)}
        for name, store in self._stores.items():
            values = [store.key[row] for row in rows]
            distinct = len(set(values))
            if len(self._stores) > 1 and 1 < distinct <= len(rows) / 5:
                best: dict[int, int] = {}
                for (value, _), count in Counter(zip(values, labels, strict=True)).items():
                    best[value] = max(best.get(value, 0), count)
                result[f"{name} alone"] = sum(best.values()) / len(rows)
        return result

    def save_example(self, folder: Path) -> Example:
        """The first row; its file is copied, a text is given as it is."""
        row = int(self._rows["test" if len(self._rows["test"]) else "validation"][0])
        inputs: dict[str, str] = {}
        for name, store in self._stores.items():
            cell = store.cells[store.key[row]]
            if store.column.is_file:
                source = Path(cell)
                cell = f"example_{name}{source.suffix}"
                write_atomically(folder / cell, source.read_bytes())
            inputs[name] = cell
        answers = {
            t.head: self._classes[t.column][int(self._labels[t.column][row])] for t in self.targets if not t.text
        }
        return Example(inputs, answers)

    def describe(self) -> dict[str, Any]:
        training = self._rows["training"]
        return {
            "data": self.name,
            "rows": {split: self.examples(split) for split in SPLITS},
            "split": "given" if self._split_is_given else "dealt 80 / 10 / 10, rows with one picture together",
            "split_seed": None if self._split_is_given else self._split_seed,
            "augment": self._augment,
            "training_labels": {
                column: _counts(self._labels[column][training], names) for column, names in self._classes.items()
            },
        }

    def _batch(self, rows: Tensor, random: torch.Generator, parts: torch.Generator | None = None) -> Batch:
        """parts: what parts of pictures are drawn from, in training."""
        chosen = rows.tolist()
        inputs: dict[str, Tensor] = {}
        for name, store in self._stores.items():
            examples = store.examples(chosen)
            if parts is not None and isinstance(store.column, ViewsColumn):
                pictures = torch.from_numpy(np.stack(examples)).float() / 255
                inputs[name] = drawn(store.column, pictures, self._augment, parts)
            else:
                inputs[name] = torch.from_numpy(store.column.batch(examples))
        targets = {column: labels[rows] for column, labels in self._labels.items()}
        for target in self.targets:
            if target.text and target.text != target.column:
                targets[target.column] = following(inputs[target.text], self._stores[target.text].pad)
        for hiding in self._hidings:
            inputs[hiding.text], targets[hiding.text] = hide(inputs[hiding.text], hiding, random)
        return Batch(inputs, targets, self._group_of[rows], torch.ones(len(rows), dtype=torch.float64))

    def _deal(self, seed: int) -> dict[str, Tensor]:
        """Distinct pictures (or rows, where no input is a file) are dealt; their rows follow them."""
        files = [store for store in self._stores.values() if store.column.is_file]
        unit = torch.tensor(files[0].key) if files else torch.arange(self._count)
        units = int(unit.max()) + 1
        dealt = split_rows(units, SHARES, seed)
        for split in ("validation", "test"):
            if not len(dealt[split]) and len(dealt["training"]) > 1:  # small files: one each
                dealt[split], dealt["training"] = dealt["training"][:1], dealt["training"][1:]
        return {split: torch.isin(unit, which).nonzero()[:, 0] for split, which in dealt.items()}


class _Store:
    """The cells of one input, each distinct one read once.   key: which of `cells` each row has."""

    def __init__(self, name: str, column: Column, rows: list[Row], folder: Path, problems: Problems) -> None:
        self.name, self.column = name, column
        lines: dict[str, list[int]] = {}
        for row in rows:
            if name in row.cells:
                lines.setdefault(row.cells[name], []).append(row.line)
            else:
                problems.add(row.line, f"{name}: the cell is empty")
        place = {cell: index for index, cell in enumerate(lines)}
        self.key = [place.get(row.cells.get(name, ""), 0) for row in rows]
        self.cells = [str(folder / cell) if column.is_file else cell for cell in lines]
        self._kept: list[Array] | None = []
        kept_bytes, longest = 0, 0
        for cell, read in zip(lines, self._read_all(self.cells), strict=True):
            message = read if isinstance(read, str) else length_problem(column, read)
            if message:
                for line in lines[cell]:
                    problems.add(line, f"{name}: {message}" + (f": {cell}" if column.is_file else ""))
            if isinstance(read, np.ndarray):
                longest = max(longest, len(read))
                kept_bytes += read.nbytes
                if kept_bytes > KEPT_BYTES:
                    self._kept = None
                if self._kept is not None:
                    self._kept.append(read)
        limit = getattr(column, "length", None)
        if limit is not None and longest > limit:
            problems.hints.append(f"the longest text has {longest} tokens: inputs.{name}.length of the spec is {limit}")

    @property
    def lengths(self) -> Tensor:
        """Tokens of each row, i64[rows]; texts are always kept."""
        assert self._kept is not None
        sizes = torch.tensor([len(example) for example in self._kept])
        return sizes[torch.tensor(self.key)]

    @property
    def pad(self) -> int:
        return int(getattr(self.column, "pad", 0))

    def tokens(self, rows: list[int]) -> Counter[int]:
        """How often each token stands in the texts of some rows, their first ones left out."""
        assert self._kept is not None
        return Counter(token for row in rows for token in self._kept[self.key[row]][1:].tolist())

    def examples(self, rows: list[int]) -> list[Array]:
        if self._kept is not None:
            return [self._kept[self.key[row]] for row in rows]
        cells = [self.cells[self.key[row]] for row in rows]
        examples = list(self._read_all(cells))
        for cell, example in zip(cells, examples, strict=True):
            if isinstance(example, str):
                raise UserError(f"{cell} was there when training began; now: {example}")
        return [example for example in examples if isinstance(example, np.ndarray)]

    def _read_all(self, cells: Iterable[str]) -> Iterator[Array | str]:
        """Each cell's example, or what is wrong with it. Files are read by threads: decoding lets others run."""

        def read(cell: str) -> Array | str:
            try:
                return self.column.read(cell)
            except (OSError, ValueError) as error:
                return describe(error)

        if not self.column.is_file:
            yield from map(read, cells)
            return
        with ThreadPoolExecutor() as pool:
            yield from pool.map(read, cells)


def _check_columns(path: Path, columns: list[str], demand: Demand) -> tuple[str, ...]:
    wanted = list(
        dict.fromkeys(
            [*map(demand.source, demand.columns), *(target.text or target.column for target in demand.targets)]
        )
    )
    missing = [name for name in wanted if name not in columns]
    if missing:
        near = [f"'{near[0]}' for '{name}'?" for name in missing if (near := get_close_matches(name, columns, 1))]
        raise UserError(
            f"{path}: the spec wants {listed(wanted)}; there is no column {listed(missing)}"
            f" (the columns are: {listed(columns)})" + (f"; did you mean {' '.join(near)}" if near else "")
        )
    optional = (SPLIT, GROUP, LABEL) if demand.itself and not demand.targets else (SPLIT, GROUP)
    unused = [name for name in columns if name not in (*wanted, *optional)]
    return (f"columns that are not used: {listed(unused)}",) if unused else ()


def _check_splits(rows: list[Row], problems: Problems) -> None:
    for row in rows:
        value = row.cells.get(SPLIT, "").strip()
        if value.lower() not in SPLIT_NAMES:
            problems.add(row.line, f"{SPLIT}: '{value}' is not one of training, validation, test")


def _given_splits(rows: list[Row]) -> dict[str, Tensor]:
    names = [SPLIT_NAMES[row.cells[SPLIT].strip().lower()] for row in rows]
    return {
        split: torch.tensor([index for index, name in enumerate(names) if name == split], dtype=torch.long)
        for split in SPLITS
    }


def _counts(labels: Tensor, names: tuple[str, ...]) -> dict[str, int]:
    return dict(zip(names, torch.bincount(labels, minlength=len(names)).tolist(), strict=True))
