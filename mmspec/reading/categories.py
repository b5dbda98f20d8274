"""One of several things for each sample: a whole number in a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmspec.reading.files import Array


@dataclass(frozen=True)
class CategoryColumn:
    """Numbers below `classes`.   i64[1] -> i64[B]"""

    classes: int

    @property
    def is_file(self) -> bool:
        return False

    def read(self, cell: str) -> Array:
        """Raises ValueError: no whole number, or one that is no class."""
        text = cell.strip()
        if not text.isdecimal() or int(text) >= self.classes:
            raise ValueError(f"a category is a whole number from 0 to {self.classes - 1}, not {text[:40]!r}")
        return np.array([int(text)])

    def batch(self, examples: Sequence[Array]) -> Array:
        return np.concatenate(list(examples))

    def save(self, folder: Path) -> dict[str, Any]:
        return {"type": "category", "classes": self.classes}
