"""The SQLite file of a study: one process at a time holds it, and what the disk refuses is said in words."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmspec.errors import Failure, UserError

if TYPE_CHECKING:
    from optuna.study import Study

DATABASE = "study.db"
LOCK = ".lock"
BUSY_S = 30.0  # that another program may hold the file, optuna-dashboard for example


class _Connection(sqlite3.Connection):
    """Commits are appended to a log beside the file and reach the disk later, all in order: Optuna commits some twenty times a
    turn, and to wait for the disk each time took longer than the rest of the turn. No death of a process loses any; a loss of
    power may take the last turns, which are proposed again, and whose trainings are found in their folders."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = NORMAL")


def open_file(folder: Path) -> Any:
    """Optuna's storage in a study's folder."""
    import optuna
    from sqlalchemy.engine import URL

    optuna.logging.set_verbosity(logging.ERROR)
    url = URL.create("sqlite", database=str((folder / DATABASE).resolve()))  # a path may hold what a URL may not
    return optuna.storages.RDBStorage(
        url.render_as_string(), engine_kwargs={"connect_args": {"timeout": BUSY_S, "factory": _Connection}}
    )


def let_go(study: Study) -> None:
    """Let go of the file, so that the folder can be moved."""
    backend = getattr(study._storage, "_backend", study._storage)
    study._storage.remove_session()
    if engine := getattr(backend, "engine", None):
        engine.dispose()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows: there SQLite alone keeps writers apart
        yield
        return
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise UserError(
                f"another search is running in {folder} (process {holder}); wait for it, or stop it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except (OperationalError, StorageInternalError) as error:
        reason = str(getattr(error, "orig", None) or error.__cause__ or error).partition("\n")[0]
        raise Failure(
            f"the study in {folder} cannot be written ({reason}); what was finished before is kept, go on with --resume"
        ) from error
