"""One column per input of a spec: how a cell (a path, a sentence) becomes an array, and examples become a batch.

A new type of input is a class with these methods in a file of its own, and a line in `restore` and in
`mmspec.data.demand`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from mmspec.errors import UserError
from mmspec.reading.categories import CategoryColumn
from mmspec.reading.clips import ClipColumn
from mmspec.reading.files import Array
from mmspec.reading.images import ImageColumn
from mmspec.reading.sounds import WaveformColumn
from mmspec.reading.text import BYTES, TextColumn, open_tokenizer
from mmspec.reading.views import ViewsColumn


class Column(Protocol):
    """Reads one input."""

    @property
    def is_file(self) -> bool:
        """The cell is a path."""

    def read(self, cell: str) -> Array:
        """One example as it is kept in memory.   Raises OSError or ValueError with a few words."""

    def batch(self, examples: Sequence[Array]) -> Array:
        """What the model takes."""

    def save(self, folder: Path) -> dict[str, Any]:
        """What `restore` needs, as JSON; larger things become files of the folder."""


def restore(record: dict[str, Any], folder: Path) -> Column:
    """The column that was saved."""
    match record["type"]:
        case "image":
            height, width = record["size"]
            return ImageColumn(height, width, record["channels"])
        case "views":
            picture = restore(record["picture"], folder)
            assert isinstance(picture, ImageColumn)
            area = (record["area"][0], record["area"][1])
            return ViewsColumn(picture, record["views"], area, record["mirror"], record["single"])
        case "text":
            name = record["tokenizer"]
            tokenizer = open_tokenizer(name if name == BYTES else folder / name)
            return TextColumn(tokenizer, record["length"], record["pad"], record.get("start"), record.get("end"))
        case "waveform":
            return WaveformColumn(record["rate"], record["samples"])
        case "category":
            return CategoryColumn(record["classes"])
        case "video":
            return ClipColumn(record["frames"], record["size"], record["channels"])
    raise UserError(f"{folder}: an input of type '{record['type']}' was written by a newer mmspec")
