"""What a target asks for beside the files: for a runtime or a server that needs more than ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Addition:
    """Part of a package.

    files   by path in the package
    facts   what verification.json says of it, under `name`
    words   the same in sentences, for the page and the screen
    """

    name: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
