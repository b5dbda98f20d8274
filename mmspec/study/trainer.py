"""What one process does for a study of many hosts: take trainings from the board, do them, answer, and show that it lives.

A trainer that cannot reach the board for half a lease stops its trainings, so that by the time others may be given them nobody
writes into their folders any more.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mmspec.study.board import Board, Taken
from mmspec.study.database import Database
from mmspec.study.processes import PATIENCE_S, Processes
from mmspec.study.shared import identity_of, not_shared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmspec.study.evaluation import Evaluate
    from mmspec.study.file import Study
    from mmspec.study.jobs import Job, Outcome

LOOK_S = 0.5
SIGHT_S = 15.0  # within which a network file system shows a new file


class Trainer(threading.Thread):
    """A thread, because it waits nearly always: the trainings are processes of their own."""

    def __init__(
        self, study: Study, database: Database, folder: Path, slots: int, lease_s: float, evaluate: Evaluate | None
    ) -> None:
        super().__init__(name="trainer", daemon=True)
        self.study, self.database, self.folder, self.slots, self.lease_s = study, database, folder, slots, lease_s
        self.evaluate = evaluate
        self.me = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self.problem: BaseException | None = None
        self._asked_to_stop = threading.Event()
        self._folder_is: str | None = None  # the identity that was found in it
        self._forget()

    def run(self) -> None:
        try:
            while not self._asked_to_stop.is_set():
                self._session()
        except BaseException as error:
            self.problem = error

    def check(self) -> None:
        """Raise what ended it."""
        if self.problem is not None:
            raise self.problem

    def stop(self) -> None:
        """Interrupt the trainings, which keep their checkpoints, and give them back."""
        self._asked_to_stop.set()
        self.join(self.lease_s)

    def _forget(self) -> None:
        self._under_way: dict[int, Taken] = {}
        self._known: dict[str, Any] = {}  # what was last heard of each training, by key
        self._unsaid: list[tuple[str, Outcome]] = []
        self._beaten = 0.0

    def _session(self) -> None:
        """Take and train until asked to stop, or until the board was out of reach for too long: leaving stops the trainings."""
        self._forget()
        board, reason = self._reach(self.lease_s)
        if board is None:
            raise self.database.gone(reason, self.lease_s)
        try:
            board.leave(self.me)  # what an earlier session did not answer
            short = min(PATIENCE_S, self.lease_s / 4)
            with Processes(self.study, self.slots, self.evaluate, patience_s=LOOK_S, stop_s=short) as processes:
                processes.warm()  # no sign of life can be given meanwhile, so that nothing is taken before
                while not self._asked_to_stop.is_set():
                    try:
                        if not self._turn(board, processes):
                            break
                    except Exception as error:
                        if not self.database.lost(error):
                            raise
                        board.close()
                        board, _ = self._reach(self.lease_s / 2 - (time.monotonic() - self._beaten))
                        if board is None:
                            return
            board.leave(self.me)
        except Exception as error:
            if not self.database.lost(error):
                if board is not None:
                    board.leave(self.me)
                raise
        finally:
            if board is not None:
                board.close()

    def _reach(self, patience_s: float) -> tuple[Board | None, str]:
        """The board, or why there is none after so many seconds."""
        end = time.monotonic() + patience_s
        while True:
            try:
                return Board(self.database, self.folder, self.lease_s), ""
            except Exception as error:
                reason = self.database.lost(error)
                if not reason:
                    raise
            if time.monotonic() >= end or self._asked_to_stop.wait(LOOK_S):
                return None, reason

    def _turn(self, board: Board, processes: Processes) -> bool:
        """False if one of its trainings was given to another."""
        while self._unsaid:
            board.answer(*self._unsaid[0])
            self._unsaid.pop(0)
        if time.monotonic() - self._beaten >= self.lease_s / 10:
            mine = {taken.key: self._known.get(taken.key) for taken in self._under_way.values()}
            kept = board.beat(self.me, self.slots, mine)
            self._beaten = time.monotonic()
            if len(kept) < len(mine):
                return False
        while len(self._under_way) < self.slots and self._same_folder(board) and (taken := board.take(self.me)):
            self._under_way[taken.job.number] = taken
            self._wait_to_see(taken.job)
            processes.submit(taken.job)
        if not self._under_way:
            board.wait(LOOK_S)
        elif outcome := processes.wait(self._hear):
            taken = self._under_way.pop(outcome.number)
            self._unsaid.append((taken.key, outcome))
        return True

    def _hear(self, number: int, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        if taken := self._under_way.get(number):
            self._known[taken.key] = (number, step, steps, dict(metrics))

    def _wait_to_see(self, job: Job) -> None:
        """The weights that a training begins with were written by another host, perhaps."""
        end = time.monotonic() + min(SIGHT_S, self.lease_s / 4)
        while job.parent and not job.parent.of(job.folder).weights.exists() and time.monotonic() < end:
            time.sleep(LOOK_S)

    def _same_folder(self, board: Board) -> bool:
        """Whether there is a study, and its folder is here.   Raises UserError: another folder is."""
        wanted = board.identity()
        if wanted is None or wanted == self._folder_is:
            return wanted is not None
        end = time.monotonic() + min(SIGHT_S, self.lease_s / 4)
        while identity_of(self.folder) != wanted:
            if time.monotonic() >= end:
                raise not_shared(self.folder, self.database.study)
            time.sleep(LOOK_S)
        self._folder_is = wanted
        return True
