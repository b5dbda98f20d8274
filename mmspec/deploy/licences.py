"""Licences of what is not mmspec's in a package: its weights, data and tokenizers have those that whoever exports hands over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mmspec.errors import UserError
from mmspec.packaged.layout import LICENCES
from mmspec.packaged.reading import is_inside

LARGEST = 1 << 22  # bytes of one; a file of weights in its place is a slip


def read_licences(
    paths: str | Path | Iterable[str | Path], known: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """Each file's bytes by its place in the package, beside those that are known; the same one may be there twice.

    Raises   UserError: a file that is missing, empty, cannot be read, has more than 4 MiB or a name that not every system takes;
             two different ones of one name, or of names that differ by capitals alone.
    """
    found = dict(known or {})
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        name, content = f"{LICENCES}/{path.name}", _content(path)
        if not is_inside(name):
            raise UserError(f"a licence cannot be called {path.name!r} in a package")
        if any(other.casefold() == name.casefold() and found[other] != content for other in found):
            raise UserError(f"two licences are called {path.name!r}; in a package each needs a name of its own")
        found[name] = content
    return found


def licences_beside(folder: Path) -> dict[str, bytes]:
    """Those that lie in a folder of weights, a package among such.   Raises UserError, as above."""
    beside = folder / LICENCES
    return read_licences(sorted(beside.iterdir())) if beside.is_dir() else {}


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UserError(f"the licence {path} is {'no file' if path.exists() else 'missing'}")
        size = path.stat().st_size
        if not 0 < size <= LARGEST:
            raise UserError(f"the licence {path} has {size:,} bytes, where 1 to {LARGEST:,} are taken")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the licence {path}: {error.strerror or error}") from error


def told(licences: Mapping[str, bytes]) -> str:
    """In words, what is known of the licence of weights and data."""
    return ", ".join(licences) or "not stated"
