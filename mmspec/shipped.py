"""Specs, studies and targets that come with mmspec, by their bare name.

    find("specs", "fusion_gated")  ->  <checkout>/specs/fusion_gated.yaml, or the copy inside an installation

In a source checkout they lie at its root, where people read and edit them; a wheel carries the same folders inside the
package. Which of the two is found is decided by what exists, never by how mmspec was started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["specs", "search", "export"]

_PACKAGE = Path(__file__).resolve().parent


def folder(kind: Kind) -> Path | None:
    """The folder that holds what is shipped of a kind, or None when this installation carries none."""
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / kind).is_dir():
        return checkout / kind
    packaged = _PACKAGE / "_shipped" / kind
    return packaged if packaged.is_dir() else None


def names(kind: Kind) -> tuple[str, ...]:
    """Bare names, sorted: `("fusion_gated", ...)`."""
    home = folder(kind)
    return tuple(sorted(path.stem for path in home.glob("*.yaml"))) if home else ()


def find(kind: Kind, name: str) -> Path | None:
    """The file with a bare name ("fusion_gated", with or without ".yaml"); None for anything that looks like a path."""
    stem = name.removesuffix(".yaml")
    home = folder(kind)
    return home / f"{stem}.yaml" if home and stem in names(kind) else None


def licence() -> bytes:
    """The licence of what is mmspec's."""
    checkout = _PACKAGE.parent / "LICENSE"
    return (checkout if checkout.is_file() else _PACKAGE / "_shipped" / "LICENSE").read_bytes()
