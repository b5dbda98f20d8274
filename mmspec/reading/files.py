"""What is read: a path, or a file that is already open (what came over a network is never a path)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Array = np.ndarray[Any, Any]
File = str | Path | BinaryIO


def opened(file: File) -> AbstractContextManager[BinaryIO]:
    """Raises   OSError: there is none, or it may not be read."""
    return Path(file).open("rb") if isinstance(file, str | Path) else nullcontext(file)
