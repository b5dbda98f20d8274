"""A study of many hosts: any number of identical processes, each of which trains, and one of which coordinates.

Who holds the study's lock in the database coordinates; the others try for it again and again. When the coordinator dies, the
server lets go of its lock and another goes on where it was, as a resumed search does.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mmspec.errors import UserError
from mmspec.study.base import open_base
from mmspec.study.board import Board
from mmspec.study.candidate import price
from mmspec.study.database import Database
from mmspec.study.events import Listener, silent
from mmspec.study.file import Study, load_study
from mmspec.study.plan import plan
from mmspec.study.remote import Remote
from mmspec.study.search import carry_out
from mmspec.study.shared import identity_of, open_shared
from mmspec.study.trainer import Trainer

if TYPE_CHECKING:
    from mmspec.study.evaluation import Evaluate
    from mmspec.study.result import Front

LEASE_S = 60.0
LOOK_S = 0.5


def take_part(
    study: Study | str | Path,
    storage: str,
    out: str | Path | None = None,
    *,
    workers: int = 1,
    lease_s: float = LEASE_S,
    events: Listener = silent,
    evaluate: Evaluate | None = None,
) -> Front | None:
    """Train for a study until it is at its end, and coordinate it while nobody else does. The front comes back where that was here.

    study, out, events, evaluate   as in `mmspec.study.search`; all processes are given the same ones
    storage   the URL of a PostgreSQL database
    workers   trainings at once, here
    lease_s   seconds of silence after which the trainings of a process are given to others; also how long a database may be away

    Raises   SpecError: a mistake in the study or its base.   UserError: nobody answers at `storage`; the folder is not shared; a
             training is impossible here; Ctrl-C.   Failure: the database went away for longer than a lease.
    """
    if workers < 1:
        raise UserError(f"at least one training is done at a time, not {workers}")
    if not 2 <= lease_s <= 86400:
        raise UserError(f"a lease is between 2 and 86400 seconds, not {lease_s:g}")
    study = study if isinstance(study, Study) else load_study(study)
    database = Database.of(storage, study.title)
    planned = plan(study, *open_base(study), price)
    folder = Path(out) if out is not None else Path("runs") / study.title
    trainer = Trainer(study, database, folder, workers, lease_s, evaluate)

    def coordinate(board: Board) -> Front:
        open_shared(folder, planned, database, resume=True, restart=False)
        identity = identity_of(folder)
        assert identity is not None  # it was just compared
        board.coordinate(identity)
        front = carry_out(planned, folder, Remote(board, trainer.check), events, evaluate, database)
        board.end()
        return front

    with closing(Board(database, folder, lease_s)) as board:
        before = board.ends()
    trainer.start()
    try:
        with _terminated_as_interrupted():
            return _until_the_end(database, folder, lease_s, before, trainer, coordinate)
    except KeyboardInterrupt:
        raise UserError(
            "stopped; what was under way here is given back with its checkpoint, and others go on"
        ) from None
    finally:
        trainer.stop()


def _until_the_end(
    database: Database,
    folder: Path,
    lease_s: float,
    before: int,
    trainer: Trainer,
    coordinate: Callable[[Board], Front],
) -> Front | None:
    """Try for the lock until the study has ended once more than `before`; a database may be away for a lease."""
    missed: float | None = None
    while True:
        try:
            with closing(database.connect()) as connection:
                board = Board(database, folder, lease_s, connection)
                missed = None
                while not (coordinates := database.lock(connection)) and board.ends() <= before:
                    trainer.check()
                    board.wait(LOOK_S)
                if board.ends() > before:
                    return None
                if coordinates:
                    return coordinate(board)
        except Exception as error:
            reason = database.lost(error)
            if not reason:
                raise
            missed = missed or time.monotonic()
            if time.monotonic() - missed > lease_s:
                raise database.gone(reason, lease_s) from error
        trainer.check()
        time.sleep(LOOK_S)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Schedulers end a job with SIGTERM before they kill it: time to keep checkpoints and give trainings back."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
