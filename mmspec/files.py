"""Files that are either whole or not there.

A file is written beside its place, flushed to the disk and renamed over it; a folder likewise. A reader, a crash or a full
disk therefore never meets half of one (an interrupted plain write leaves a torn file every time).
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmspec.errors import Failure, UserError

MARK = ".mmspec"  # a folder with this file in it was written by us and may be replaced by us


def write_atomically(path: str | Path, content: bytes | str | Callable[[Path], None]) -> Path:
    """Write a file whole: `content` is the bytes, the text, or a function that writes the path it is given.

    Raises   UserError: the folder is missing or not writable.   Failure: the disk is full.
    """
    path = Path(path)
    with located(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            os.close(descriptor)
            if callable(content):
                content(temporary)
            else:
                temporary.write_bytes(content.encode() if isinstance(content, str) else content)
            _flush(temporary)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    return path


@contextmanager
def replace_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty folder to fill; on leaving without an error it takes the place of `path`, else nothing changes.

    Raises   UserError: `path` exists and is not a folder that we wrote.   Failure: the disk is full.
    """
    path = Path(path)
    check_replaceable(path)
    with located(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        with located(path):
            os.chmod(temporary, 0o777 & ~_umask())
            (temporary / MARK).write_text("This folder is replaced whole by mmspec.\n")
        yield temporary
        with located(path):
            for file in temporary.rglob("*"):
                if file.is_file():  # some writers keep what they write to themselves
                    os.chmod(file, 0o666 & ~_umask())
                _flush(file)
            old = None
            if path.exists():
                old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
                os.replace(path, old)
            os.replace(temporary, path)
            _flush(path.parent)
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: Path) -> None:
    """Raise UserError unless `path` is free, empty, or a folder that we wrote."""
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"{path} is a file; the output must be a folder")
    if any(path.iterdir()) and not (path / MARK).exists():
        raise UserError(f"{path} is a folder that mmspec did not write; name another one, or remove it yourself")


@contextmanager
def located(path: Path) -> Iterator[None]:
    """Turn the system's errors into ours, in one line that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Failure(f"no space left on the disk while writing {path}; nothing was changed") from error
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
