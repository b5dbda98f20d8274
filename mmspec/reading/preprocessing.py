"""What prediction needs of the data: how each input is read, and what the classes of each head are called.

Saved as `preprocessing.json` (and `tokenizer.json` where there is one) in the folder `data/` of a trained model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmspec.errors import UserError
from mmspec.files import write_atomically
from mmspec.reading.columns import Column, restore
from mmspec.reading.files import Array
from mmspec.reading.text import TextColumn

FILE = "preprocessing.json"


@dataclass(frozen=True)
class Preprocessing:
    """columns by input, names of the classes by head; pairs: heads that compare two of the inputs; texts: by head that guesses the
    next token, the input whose texts it can write."""

    columns: Mapping[str, Column]
    answers: Mapping[str, tuple[str, ...]]
    pairs: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    def read(self, inputs: Mapping[str, str]) -> dict[str, Array]:
        """One example as the model takes it: a batch of one. Of a text that is written there is the beginning, or nothing where
        texts have a start.

        Raises   UserError: an input is missing or unknown, a file is unreadable, a text is too long; all at once.
        """
        problems = [f"there is no input '{name}'" for name in inputs if name not in self.columns]
        given = {**dict.fromkeys(self.begun, ""), **inputs}
        problems += [f"the input '{name}' is missing" for name in self.columns if name not in given]
        arrays: dict[str, Array] = {}
        for name, column in self.columns.items():
            if name not in given:
                continue
            try:
                arrays[name] = column.batch([self.example(name, given[name])])
            except (OSError, ValueError) as error:
                problems.append(f"{name}: {describe(error)}: {given[name]}")
        if problems:
            known = ", ".join(self.columns)
            raise UserError("; ".join(problems) + f" (the model takes: {known})")
        return arrays

    def example(self, name: str, cell: Any) -> Array:
        """What was given for an input, as its column keeps it: a text that is written is the beginning of one.

        Raises   OSError, ValueError: with a few words, when it cannot be read or is too long.
        """
        column = self.columns[name]
        if isinstance(column, TextColumn) and name in self.texts.values():
            return column.begin(cell)
        example = column.read(cell)
        too_long = length_problem(column, example)
        if too_long:
            raise ValueError(too_long)
        return example

    @property
    def begun(self) -> tuple[str, ...]:
        """Texts that a model can write from nothing but their start."""
        return tuple(name for name in self.texts.values() if getattr(self.columns[name], "start", None) is not None)

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        record = {
            "format": 1,
            "inputs": {name: column.save(folder) for name, column in self.columns.items()},
            "answers": {head: list(names) for head, names in self.answers.items()},
            **({"pairs": list(self.pairs)} if self.pairs else {}),
            **({"texts": dict(self.texts)} if self.texts else {}),
        }
        write_atomically(folder / FILE, json.dumps(record, indent=2, ensure_ascii=False) + "\n")

    @staticmethod
    def load(folder: Path) -> Preprocessing:
        """Read what `save` wrote.

        Raises   UserError: there is none, or it is not ours.
        """
        path = folder / FILE
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            columns = {name: restore(saved, folder) for name, saved in record["inputs"].items()}
            answers = {head: tuple(names) for head, names in record["answers"].items()}
            return Preprocessing(columns, answers, tuple(record.get("pairs", ())), dict(record.get("texts", {})))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; is this the folder of a trained model?") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} was not written by mmspec, or was changed since: {error!r}") from error


def length_problem(column: Column, example: Array) -> str | None:
    """Why an example is too long for its input, or None."""
    longest: int | None = getattr(column, "length", None)
    if longest is None or len(example) <= longest:
        return None
    return f"{len(example)} tokens where the model takes {longest}"


def describe(error: Exception) -> str:
    """An error of reading a file, in a few words and without its path."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
