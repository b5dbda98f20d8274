"""The board of a study of many hosts: trainings are put up by its coordinator, taken by whoever is free, and answered there.

Three tables beside Optuna's, which no worker ever opens:

    mmspec_studies    which folder it is, how often it was brought to its end
    mmspec_trainers   who trains, how many at once, when they were last heard of
    mmspec_jobs       waiting -> running -> done; a running one whose trainer was not heard of for a lease waits again

A job is taken with SELECT ... FOR UPDATE SKIP LOCKED, so that two never get the same one, and the first answer counts: a second
one, of a trainer that was given up too early, changes nothing. All times are the server's, hosts' clocks do not matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmspec.study.database import Database, making_tables
from mmspec.study.jobs import Job, Outcome

LOSSES = 3  # of the hosts that trained one spec, after which it is not tried again
TABLES = """
CREATE TABLE IF NOT EXISTS mmspec_studies (
    study text PRIMARY KEY, identity text NOT NULL, ends integer NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS mmspec_trainers (
    study text, trainer text, slots integer NOT NULL, heard timestamptz NOT NULL, PRIMARY KEY (study, trainer));
CREATE TABLE IF NOT EXISTS mmspec_jobs (
    study text, key text, job text NOT NULL, folder text NOT NULL, state text NOT NULL, trainer text, heard timestamptz,
    losses integer NOT NULL DEFAULT 0, progress text, outcome text, since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (study, key));
"""


@dataclass(frozen=True)
class Taken:
    """A job and its row."""

    key: str
    job: Job


class Board:
    """One process's view of it, over a connection of its own.   lease_s: seconds of silence after which a trainer is given up."""

    def __init__(self, database: Database, folder: Path, lease_s: float, connection: Any = None) -> None:
        self.study, self.folder, self.lease_s = database.study, folder, lease_s
        self._connection = connection or database.connect()
        with making_tables(self._connection):
            self._connection.execute(TABLES)
        self._connection.execute("LISTEN mmspec")

    def close(self) -> None:
        self._connection.close()

    def _do(self, statement: str, **values: Any) -> Any:
        return self._connection.execute(statement, {"study": self.study, "lease": self.lease_s, **values})

    def _tell(self) -> None:
        self._do("NOTIFY mmspec")

    def wait(self, seconds: float) -> None:
        """Until something happens on the board, or so long."""
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            return

    # the study ---------------------------------------------------------------------------------------------------------

    def ends(self) -> int:
        """How often the study was brought to its end; 0 as well where nobody began it."""
        row = self._do("SELECT ends FROM mmspec_studies WHERE study = %(study)s").fetchone()
        return int(row[0]) if row else 0

    def identity(self) -> str | None:
        """What the study's folder must say of itself; None before the study is begun."""
        row = self._do("SELECT identity FROM mmspec_studies WHERE study = %(study)s").fetchone()
        return str(row[0]) if row else None

    def coordinate(self, identity: str) -> None:
        """Say whose folder it is; trainings of an earlier study of this name are cleared away."""
        if self.identity() != identity:
            self._do("DELETE FROM mmspec_jobs WHERE study = %(study)s")
        self._do(
            "INSERT INTO mmspec_studies (study, identity) VALUES (%(study)s, %(identity)s) "
            "ON CONFLICT (study) DO UPDATE SET identity = %(identity)s",
            identity=identity,
        )

    def end(self) -> None:
        self._do("UPDATE mmspec_studies SET ends = ends + 1 WHERE study = %(study)s")
        self._tell()

    # the coordinator's side --------------------------------------------------------------------------------------------

    def put(self, job: Job) -> str:
        """Put a training up, once: one that is there already, running or answered, stays as it is."""
        text, folder = json.dumps(job.to_dict(), sort_keys=True), job.folder.relative_to(self.folder).as_posix()
        key = hashlib.sha256(f"{folder} {text}".encode()).hexdigest()[:32]
        self._do(
            "INSERT INTO mmspec_jobs (study, key, job, folder, state) VALUES (%(study)s, %(key)s, %(job)s, %(folder)s, 'waiting') "
            "ON CONFLICT (study, key) DO NOTHING",
            key=key, job=text, folder=folder,
        )  # fmt: skip
        self._tell()
        return key

    def answers(self, keys: list[str]) -> list[tuple[str, Outcome]]:
        """Of these trainings, those that have ended, first things first."""
        rows = self._do(
            "SELECT key, outcome FROM mmspec_jobs WHERE study = %(study)s AND key = ANY(%(keys)s) AND state = 'done' "
            "ORDER BY since, key",
            keys=keys,
        )  # fmt: skip
        return [(key, Outcome(**json.loads(outcome))) for key, outcome in rows.fetchall()]

    def progress(self, keys: list[str]) -> list[tuple[int, int, int, Mapping[str, float]]]:
        """Number, step, steps and metrics of these, where something is known."""
        rows = self._do(
            "SELECT progress FROM mmspec_jobs WHERE study = %(study)s AND key = ANY(%(keys)s) AND state = 'running' "
            "AND progress IS NOT NULL ORDER BY key",
            keys=keys,
        )  # fmt: skip
        return [tuple(json.loads(said)) for (said,) in rows.fetchall()]

    def slots(self) -> int:
        """Trainings that those who are alive can do at once."""
        row = self._do(
            "SELECT coalesce(sum(slots), 0) FROM mmspec_trainers WHERE study = %(study)s "
            "AND heard > now() - make_interval(secs => %(lease)s)"
        ).fetchone()
        return int(row[0])

    def give_out_again(self) -> None:
        """Trainings whose trainer has fallen silent wait for another, with the same number and seed; or end, after too many."""
        outcome = json.dumps(
            {"problem": f"{LOSSES} processes that trained it went silent", "metrics": None, "seconds": 0.0}
        )
        silent = "study = %(study)s AND state = 'running' AND heard < now() - make_interval(secs => %(lease)s)"
        self._do(
            "UPDATE mmspec_jobs SET losses = losses + 1, trainer = NULL, progress = NULL, since = now(), "
            "state = CASE WHEN losses + 1 >= %(most)s THEN 'done' ELSE 'waiting' END, "
            "outcome = CASE WHEN losses + 1 >= %(most)s "
            "THEN jsonb_set(%(outcome)s::jsonb, '{number}', (job::jsonb) -> 'number')::text END "
            f"WHERE {silent}",
            most=LOSSES, outcome=outcome,
        )  # fmt: skip

    # a trainer's side --------------------------------------------------------------------------------------------------

    def beat(self, trainer: str, slots: int, progress: Mapping[str, Any]) -> list[str]:
        """A sign of life, with what is known of each training by key. Which of them are still this trainer's."""
        self._do(
            "INSERT INTO mmspec_trainers (study, trainer, slots, heard) VALUES (%(study)s, %(trainer)s, %(slots)s, now()) "
            "ON CONFLICT (study, trainer) DO UPDATE SET heard = now()",
            trainer=trainer, slots=slots,
        )  # fmt: skip
        kept = []
        for key, said in progress.items():
            row = self._do(
                "UPDATE mmspec_jobs SET heard = now(), progress = coalesce(%(said)s, progress) WHERE study = %(study)s "
                "AND key = %(key)s AND trainer = %(trainer)s AND state = 'running' RETURNING key",
                key=key, trainer=trainer, said=None if said is None else json.dumps(said),
            ).fetchone()  # fmt: skip
            kept += [key] if row else []
        return kept

    def take(self, trainer: str) -> Taken | None:
        """The training that waited longest, now this trainer's."""
        row = self._do(
            "UPDATE mmspec_jobs SET state = 'running', trainer = %(trainer)s, heard = now() WHERE study = %(study)s AND key = ("
            "SELECT key FROM mmspec_jobs WHERE study = %(study)s AND state = 'waiting' ORDER BY since, key LIMIT 1 "
            "FOR UPDATE SKIP LOCKED) RETURNING key, job, folder",
            trainer=trainer,
        ).fetchone()  # fmt: skip
        return row and Taken(row[0], Job.read(json.loads(row[1]), self.folder / row[2]))

    def answer(self, key: str, outcome: Outcome) -> bool:
        """What became of a training; false if it was answered before."""
        row = self._do(
            "UPDATE mmspec_jobs SET state = 'done', outcome = %(outcome)s, since = now() WHERE study = %(study)s AND key = %(key)s "
            "AND state <> 'done' RETURNING key",
            key=key, outcome=json.dumps(asdict(outcome)),
        ).fetchone()  # fmt: skip
        self._tell()
        return row is not None

    def leave(self, trainer: str) -> None:
        """This trainer goes; what it has not finished waits for another at once."""
        self._do(
            "UPDATE mmspec_jobs SET state = 'waiting', trainer = NULL, progress = NULL WHERE study = %(study)s "
            "AND trainer = %(trainer)s AND state = 'running'",
            trainer=trainer,
        )  # fmt: skip
        self._do("DELETE FROM mmspec_trainers WHERE study = %(study)s AND trainer = %(trainer)s", trainer=trainer)
        self._tell()
