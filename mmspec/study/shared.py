"""The folder of a study that is kept in a database: all hosts see it, on a file system that they share.

A file in it says which study it belongs to, and the database says the same, so that a host which looks at another folder of the
same name is told so before it trains anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from mmspec.errors import UserError
from mmspec.files import check_replaceable, replace_folder, write_atomically
from mmspec.study.storage import DATABASE
from mmspec.study.store import Store

if TYPE_CHECKING:
    from mmspec.study.database import Database
    from mmspec.study.plan import Plan

IDENTITY = ".study"


def identity_of(folder: Path) -> str | None:
    """Which study a folder belongs to."""
    try:
        return (folder / IDENTITY).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def not_shared(folder: Path, study: str) -> UserError:
    return UserError(
        f"{folder.resolve()} is not the folder in which the study {study!r} was begun; all hosts must see one folder, on a file "
        "system that they share, and name it with -o"
    )


def open_shared(folder: Path, planned: Plan, database: Database, resume: bool, restart: bool) -> None:
    """Begin the study, or see that this is its folder. Only who holds its lock may call this.

    Raises   UserError: it was begun, and neither is asked for; the folder holds something else
    """
    check_replaceable(folder)
    identity = database.identity()
    if identity is not None and not (resume or restart):
        raise UserError(
            f"{database} already holds a study {database.study!r}; go on with --resume, or throw it away with --restart"
        )
    if identity is not None and not restart:
        if identity_of(folder) != identity:
            raise not_shared(folder, database.study)
        return
    if not restart:
        if (folder / DATABASE).exists():
            raise UserError(
                f"{folder} holds a study of one machine; name another folder with -o, or throw it away with --restart"
            )
        if any((folder / "trials").glob("*")):
            raise UserError(
                f"{folder} holds trainings of a study that {database} does not know; name another folder with -o, or throw them "
                "away with --restart"
            )
    database.forget()
    with replace_folder(folder) as new:
        write_atomically(new / "study.yaml", planned.study.text)
        write_atomically(new / IDENTITY, f"{uuid4().hex}\n")
        (new / "trials").mkdir()
    Store.create(folder, planned.study.objectives, planned.question, database)
