"""A PostgreSQL database that many hosts share: its address, connections to it, and the lock of a study.

The address is a URL, postgresql://user@host:5432/name; what it leaves out is libpq's to find (PGPASSWORD, ~/.pgpass, PGHOST). A
password in it is never printed. Connections must last, because locks and notices belong to them: a pooler in transaction mode
between mmspec and the server breaks both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmspec.errors import Failure, UserError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

INSTALL = "pip install 'mmspec[postgres]'"
CONNECT_S = 10
IDENTIFIED = "folder"  # in Optuna's attributes of the study: what its folder says of itself
# A host that lost its power must not hold a lock for the two hours that systems wait by default; local sockets overlook these.
SERVER = "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
CLIENT = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 20000}


@dataclass(frozen=True)
class Database:
    """Where a study of many hosts is kept, and under which name."""

    url: URL
    study: str

    @staticmethod
    def of(storage: str, study: str) -> Database:
        """Raises   UserError: not a PostgreSQL URL, no driver for it, or nobody answers there."""
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(storage)
            backend = url.get_backend_name()
        except (ArgumentError, ValueError):
            raise UserError(
                f"the storage {_hidden(storage)} is not a URL; for example: postgresql://user@host/name"
            ) from None
        if backend == "sqlite":
            raise UserError(
                "an SQLite file cannot be shared by hosts: writers on different machines lose each other's rows, and locks on "
                "network file systems do not hold. Give --storage postgresql://user@host/name, or leave it out: alone, a study "
                "keeps its own file in its folder"
            )
        if backend not in ("postgresql", "postgres"):
            raise UserError(f"the storage {_shown(url)} is not PostgreSQL; for example: postgresql://user@host/name")
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise UserError(f"a study in PostgreSQL needs psycopg; install it with: {INSTALL}") from None
        database = Database(url.set(drivername="postgresql+psycopg"), study)
        database.connect().close()
        return database

    def __str__(self) -> str:
        return _shown(self.url)

    def connect(self) -> Any:
        """A connection that commits every statement.   Raises UserError: nobody answers."""
        import psycopg

        plain = self.url.set(drivername="postgresql")
        name = f"mmspec {os.getpid()}"  # for pg_stat_activity
        query = {"connect_timeout": CONNECT_S, "options": SERVER, "application_name": name, **CLIENT}
        query = {key: value for key, value in query.items() if key not in self.url.query}
        try:
            return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True, **query)
        except psycopg.Error as error:
            raise UserError(f"the storage {self} does not answer: {self.reason(error)}") from error

    def optuna(self) -> Any:
        """Optuna's storage there. Only who holds the study's lock opens it."""
        import logging

        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        arguments = {"connect_timeout": CONNECT_S, "options": SERVER, **CLIENT}
        arguments = {key: value for key, value in arguments.items() if key not in self.url.query}
        engine = {"connect_args": arguments, "pool_pre_ping": True}
        with closing(self.connect()) as connection, making_tables(connection):
            return optuna.storages.RDBStorage(self.url.render_as_string(hide_password=False), engine_kwargs=engine)

    def identity(self) -> str | None:
        """Of the folder of the study that is here; None where none was begun, or not wholly."""
        import optuna

        storage = self.optuna()
        try:
            found = optuna.load_study(storage=storage, study_name=self.study).user_attrs
        except KeyError:
            return None
        finally:
            _let_go(storage)
        return str(found[IDENTIFIED]) if "question" in found else None  # which is written last

    def forget(self) -> None:
        """Throw away Optuna's record of the study, where there is one."""
        import optuna

        storage = self.optuna()
        try:
            with suppress(KeyError):
                optuna.delete_study(storage=storage, study_name=self.study)
        finally:
            _let_go(storage)

    def lock(self, connection: Any) -> bool:
        """Try for the study's lock. The server lets go of it when the connection ends, however it ends."""
        key = "SELECT pg_try_advisory_lock(hashtext('mmspec'), hashtext(%s))"
        return bool(connection.execute(key, (self.study,)).fetchone()[0])

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the study's lock.   Raises UserError: another process does.   Failure: the database went away meanwhile."""
        with closing(self.connect()) as connection:
            if not self.lock(connection):
                raise UserError(
                    f"another process searches for {self.study!r} in {self}; wait for it, stop it, or help it with --worker"
                )
            try:
                yield
            except Exception as error:
                if not (reason := self.lost(error)):
                    raise
                raise Failure(
                    f"the storage {self} went away ({reason}); what was finished is kept, go on with --resume"
                ) from error

    def reason(self, error: BaseException) -> str:
        """The driver's own words in one line, without the password."""
        lines = [line for line in str(getattr(error, "orig", None) or error).splitlines() if line.strip()]
        words = " ".join(" ".join(lines[:2]).split())
        for secret in filter(None, (self.url.password, self.url.query.get("password"))):
            words = words.replace(str(secret), "***")
        return words or type(error).__name__

    def lost(self, error: BaseException | None) -> str:
        """Why an error is the database's absence; empty if it is something else."""
        import psycopg

        while error is not None:
            if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
                return self.reason(error)
            error = error.__cause__ or error.__context__
        return ""

    def gone(self, reason: str, seconds: float) -> Failure:
        return Failure(
            f"the storage {self} has not answered for {seconds:.0f} s ({reason}); what was finished is kept, and the same command "
            "goes on from there"
        )


@contextmanager
def making_tables(connection: Any) -> Iterator[None]:
    """Two processes that create the same table at once disturb each other."""
    connection.execute("SELECT pg_advisory_lock(hashtext('mmspec tables'))")
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock(hashtext('mmspec tables'))")


def _let_go(storage: Any) -> None:
    storage.remove_session()
    storage.engine.dispose()


def _shown(url: URL) -> str:
    query = {key: "***" if "pass" in key else value for key, value in url.query.items()}
    return url.set(query=query, drivername=url.drivername.partition("+")[0]).render_as_string(hide_password=True)


def _hidden(text: str) -> str:
    return re.sub(r"//[^@/]*@", "//***@", text)
