"""How PostgreSQL is reached, and the one way to change it: whole transactions, retried, with a checked COMMIT.

`transact` runs a function inside one transaction and runs it again from the start after a deadlock, a lock timeout, a
serialization failure or a lost race for a key. The function holds SQL and pure code only, so that it may run twice.
When the answer to COMMIT is lost, the outcome is unknown: the same function then runs again, waits for the locks that
the lost transaction held, and finds by its keys what became of it.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from ledgerctl import errors
from ledgerctl.config import Configuration
from ledgerctl.config import Database as Settings
from ledgerctl.db import constraints, embedded

Connection = psycopg.Connection[TupleRow]
P = ParamSpec("P")
T = TypeVar("T")

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
# A plan is made once a session, on what is known of the tables then - nothing of a new one, less after an import that
# was rolled back - and kept while they grow under it. So no table is read from end to end to find some rows by key.
SETTINGS = """
    SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true),
           set_config('idle_in_transaction_session_timeout', %s, true), set_config('enable_seqscan', 'off', true)
"""
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_WAIT_MIN_S, _WAIT_MAX_S = 0.01, 0.5
_LOST_RACES = frozenset(
    {
        constraints.IDEMPOTENCY_KEY,
        constraints.REVERSED_ONCE,
        constraints.ACCOUNT_CODE,
        constraints.LEDGER_NAME,
        constraints.CURRENCY_CODE,
    }
)
_RETRIED = (pg.SerializationFailure, pg.DeadlockDetected)


class Limits(NamedTuple):
    """How long a transaction may wait for a lock, run a statement, and stand idle: milliseconds, 0 for no limit."""

    lock_ms: int
    statement_ms: int
    idle_ms: int


class _DryRun(Exception):
    """Not an error: it carries a result out of a transaction that is rolled back."""

    def __init__(self, result: Any) -> None:
        self.result = result


@dataclass(slots=True)
class Database:
    """One connection to the books, opened when first asked for. Not for use by several threads."""

    settings: Settings
    directory: Path | None
    """Where the embedded server keeps its data; None for any other server."""
    application: str = "ledgerctl"
    _open: Connection | None = field(default=None, repr=False)

    @classmethod
    def of(cls, configuration: Configuration, application: str = "ledgerctl") -> Database:
        return cls(configuration.settings.database, configuration.embedded_directory, application)

    @property
    def conninfo(self) -> str:
        """Where the server is, for libpq."""
        return self.settings.url if self.directory is None else embedded.conninfo(self.directory)

    @property
    def limits(self) -> Limits:
        return Limits(self.settings.lock_timeout_ms, self.settings.statement_timeout_ms, self.settings.idle_timeout_ms)

    @property
    def import_limits(self) -> Limits:
        """For what reads or writes row after row: it may wait long, and may think for a minute between statements."""
        limit_ms = self.settings.import_timeout_s * 1000
        return Limits(limit_ms, limit_ms, max(self.settings.idle_timeout_ms, 60_000))

    def connect(self) -> Connection:
        """The open connection, or a new one. Starts the embedded server if it is down. DatabaseUnavailable."""
        if self._open is None or self._open.closed:
            self._open = self._connect()
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def transact(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` in one transaction, committed when it returns. Statements travel together where they can."""
        return _retry(self, lambda: self._once(work, args, kwargs), self.settings.deadline_s)

    def transact_at_length(
        self, limits: Limits, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like `transact` for work that copies rows, which cannot travel in a pipeline, under limits of its own."""
        deadline_s = max(self.settings.deadline_s, limits.statement_ms / 1000)
        return _retry(self, lambda: self._once(work, args, kwargs, limits), deadline_s)

    def rehearse(
        self, limits: Limits, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like `transact_at_length`, and rolled back at the end: the real path, without a trace."""

        def dry(conn: Connection, /, *args: P.args, **kwargs: P.kwargs) -> None:
            raise _DryRun(work(conn, *args, **kwargs))

        try:
            self.transact_at_length(limits, dry, *args, **kwargs)
        except _DryRun as end:
            result: T = end.result
            return result
        raise AssertionError("a rehearsal always ends by its own signal")

    def read(self, question: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of a function that only asks; each of its statements sees what is committed then."""
        try:
            return question(self.connect(), *args, **kwargs)
        except psycopg.Error as error:
            raise _translated(error) from error

    def snapshot(self, question: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `read`, all statements in one snapshot."""

        def asked(conn: Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
            conn.execute(SNAPSHOT)
            try:
                return question(conn, *args, **kwargs)
            finally:
                conn.rollback()

        return self.read(asked, *args, **kwargs)

    def _connect(self) -> Connection:
        try:
            return self._dial()
        except psycopg.ProgrammingError:  # its words may hold the password
            raise errors.BadConfig(detail="database.url is neither a PostgreSQL URL nor embedded:DIR") from None
        except psycopg.OperationalError as error:
            if self.directory is None:
                raise errors.DatabaseUnavailable(detail=_without_secrets(_words(error), self.settings.url)) from error
        embedded.start(self.directory, run_as=self.settings.embedded_user)
        try:
            return self._dial()
        except psycopg.OperationalError as error:
            raise errors.DatabaseUnavailable(detail=_words(error)) from error

    def _dial(self) -> Connection:
        # libpq takes these two from the environment only. Times and dates then read the same whoever runs us, also
        # through a pooler, which forwards them where it would refuse startup options.
        os.environ.update(PGTZ="UTC", PGDATESTYLE="ISO")
        conn: Connection = psycopg.connect(
            self.conninfo,
            autocommit=True,
            connect_timeout=self.settings.connect_timeout_s,
            application_name=self.application,
            client_encoding="utf8",
        )
        if not self.settings.prepare:
            conn.prepare_threshold = None
        return conn

    def _once(
        self, work: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], limits: Limits | None = None
    ) -> T:
        """One attempt. `limits` are given by those who cannot use a pipeline."""
        conn = self.connect()
        sent = False
        try:
            if limits is None:
                with conn.pipeline():
                    _begin(conn, self.limits)
                    result = work(conn, *args, **kwargs)
                    sent = True
                    commit = conn.execute("COMMIT")
            else:
                _begin(conn, limits)
                result = work(conn, *args, **kwargs)
                sent = True
                commit = conn.execute("COMMIT")
        except psycopg.errors.PipelineAborted as error:  # the work kept an error to itself: nothing was committed
            raise errors.DatabaseRefused(detail="a statement failed and COMMIT was skipped") from error
        except psycopg.Error as error:
            raise _Failed(error, unknown=sent and not _refused_by_server(error)) from error
        except (KeyboardInterrupt, SystemExit) as stop:
            if sent:
                raise errors.OutcomeUnknown(detail="interrupted while the commit was on its way") from stop
            raise
        finally:
            self._settle(conn)
        if commit.statusmessage != "COMMIT":
            raise errors.DatabaseRefused(detail=f"COMMIT was answered by {commit.statusmessage}")
        return result

    def _settle(self, conn: Connection) -> None:
        """Leave no open transaction behind, whatever ended the attempt."""
        if conn.closed or conn.info.transaction_status == TransactionStatus.IDLE:
            return
        try:
            conn.rollback()
        except psycopg.Error:
            conn.close()


class _Failed(Exception):
    """An attempt that failed, on its way to the loop that tries again."""

    def __init__(self, error: psycopg.Error, *, unknown: bool) -> None:
        self.error = error
        self.unknown = unknown


def _begin(conn: Connection, limits: Limits) -> None:
    conn.execute(BEGIN)
    conn.execute(SETTINGS, [str(limits.lock_ms), str(limits.statement_ms), str(limits.idle_ms)])


def _retry(database: Database, attempt: Callable[[], T], deadline_s: float) -> T:
    """Attempts until one answers. Waits for locks go on until the deadline; other failures have a number of tries."""
    deadline = time.monotonic() + deadline_s
    unknown = False
    tries = 0
    while True:
        tries += 1
        try:
            return attempt()
        except _Failed as failed:
            unknown = unknown or failed.unknown
            error: Exception = failed.error
            again = failed.unknown or _may_retry(failed.error, tries, database.settings.retry_attempts)
        except errors.DatabaseUnavailable as unavailable:
            if not unknown:
                raise
            error, again = unavailable, True
        wait = random.uniform(_WAIT_MIN_S, _WAIT_MAX_S)  # noqa: S311 - jitter, not a secret
        if not again or time.monotonic() + wait > deadline:
            if unknown:
                raise errors.OutcomeUnknown(detail=_words(error)) from error
            raise _translated(error, tries) from error
        time.sleep(wait)


def _refused_by_server(error: psycopg.Error) -> bool:
    """The severity decides, not the SQLSTATE: after a FATAL or PANIC the commit record may be on disk."""
    return error.diag.severity_nonlocalized == "ERROR"


def _may_retry(error: psycopg.Error, tries: int, tries_max: int) -> bool:
    if isinstance(error, pg.LockNotAvailable):
        return True
    passing = isinstance(error, _RETRIED) or _lost_race(error) or not _refused_by_server(error)
    return passing and tries < tries_max


def _lost_race(error: Exception) -> bool:
    """Somebody else took the key or the code a moment earlier; the next attempt sees theirs."""
    return isinstance(error, pg.UniqueViolation) and error.diag.constraint_name in _LOST_RACES


def _translated(error: Exception, tries: int = 1) -> Exception:
    """What the operator has to know of a driver's error; errors of our own pass."""
    if not isinstance(error, psycopg.Error):
        return error
    if isinstance(error, (*_RETRIED, pg.LockNotAvailable, pg.QueryCanceled)) or _lost_race(error):
        return errors.Busy(attempts=tries, detail=_words(error))
    if isinstance(error, pg.InsufficientPrivilege):
        return errors.PermissionDenied(detail=_words(error))
    if isinstance(error, (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction)):
        return errors.WrongSchema(found="something else", needed="its own tables")
    if isinstance(error, pg.ReadOnlySqlTransaction):  # a standby, or a server that was set to reading
        return errors.DatabaseUnavailable(detail=_words(error))
    if isinstance(error, (psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError, psycopg.InternalError)):
        return errors.DatabaseRefused(detail=_words(error))
    return errors.DatabaseUnavailable(detail=_words(error))


def _without_secrets(words: str, url: str) -> str:
    """A password with a bare @ is taken for a part of the host, and would be told as one."""
    secrets = re.match(r"[a-z]+://[^:/@]*:(.*)@", url)
    for part in secrets[1].split("@") if secrets else ():
        words = words.replace(part, "***") if part else words
    return words


def _words(error: Exception) -> str:
    """The server's own sentence on one line, without the context lines that name statements."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    return " ".join(str(error).split()) or type(error).__name__
