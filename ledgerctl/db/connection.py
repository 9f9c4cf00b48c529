"""How PostgreSQL is reached, and the one way to change it: whole transactions, retried, with a checked COMMIT.

`transact` runs a function inside one transaction and runs it again from the start after a deadlock, a lock timeout, a
serialization failure or a lost race for a key. The function holds SQL and pure code only, so that it may run twice.
When the answer to COMMIT is lost, the outcome is unknown: the same function then runs again, waits for the locks that
the lost transaction held, and finds by its keys what became of it.
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, LiteralString, NamedTuple, ParamSpec, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from ledgerctl import errors, logs
from ledgerctl.config import Configuration
from ledgerctl.config import Database as Settings
from ledgerctl.db import embedded, locks
from ledgerctl.db.answers import LATER_S, WatchedConnection
from ledgerctl.db.arrays import ArrayDumper
from ledgerctl.db.locks import Holder, Wait
from ledgerctl.db.outcomes import Spent, may_retry, refused_by_server, translated, words
from ledgerctl.db.pipeline import Executor, Rows
from ledgerctl.tracing import span

Connection = psycopg.Connection[TupleRow]
P = ParamSpec("P")
T = TypeVar("T")

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # what it would say on stderr, our errors say

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
# A plan is made once a session, on what is known of the tables then - nothing of a new one, less after an import that
# was rolled back - and kept while they grow under it. So no table is read from end to end to find some rows by key.
# Left to itself, the server plans three statements of a single transfer each time anew: a sixth of what it takes there.
SETTINGS = """
    SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true),
           set_config('idle_in_transaction_session_timeout', %s, true), set_config('enable_seqscan', 'off', true),
           set_config('plan_cache_mode', 'force_generic_plan', true)
"""
SNAPSHOT_TO_WRITE = "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE"
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
LOOK = "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)"

_WAIT_MIN_S, _WAIT_MAX_S = 0.01, 0.5


class Limits(NamedTuple):
    """How long a transaction may wait for a lock, run a statement, and stand idle: milliseconds, 0 for no limit."""

    lock_ms: int
    statement_ms: int
    idle_ms: int


class _DryRun(Exception):
    """Not an error: it carries a result out of a transaction that is rolled back."""

    code = ""
    """Nor is it one in a trace."""

    def __init__(self, result: Any) -> None:
        self.result = result


@dataclass(slots=True)
class Database:
    """One connection to the books, opened when first asked for. Not for use by several threads."""

    settings: Settings
    directory: Path | None
    """Where the embedded server keeps its data; None for any other server."""
    application: str = "ledgerctl"
    told: Callable[[str], None] = lambda _sentence: None
    """Told what the operator should know while he waits, or beside the answer."""
    patient: bool = True
    """Whether a lock is waited for again, until the deadline, when a wait for it has timed out."""
    in_doubt: bool = False
    """Whether the last transaction's COMMIT was handed over, and not refused: it may be, or surely is, committed."""
    retries: int = 0
    """How many attempts at a transaction came to nothing so far, and were made again."""
    waits: list[Wait] = field(default_factory=list)
    """The locks of others that transactions waited for so far, if it took longer than SLOW_S."""
    _open: WatchedConnection | None = field(default=None, repr=False)

    @classmethod
    def of(cls, configuration: Configuration, application: str, told: Callable[[str], None]) -> Database:
        return cls(configuration.settings.database, configuration.embedded_directory, application, told)

    def attached(self) -> Database:
        """The same database by a connection of its own, which starts no server."""
        return Database(replace(self.settings, url=self.conninfo), None, self.application, self.told)

    @property
    def conninfo(self) -> str:
        """Where the server is, for libpq."""
        return self.settings.url if self.directory is None else embedded.conninfo(self.directory)

    @property
    def place(self) -> str:
        """Where the books are, for people: without a password."""
        if self.directory is not None:
            return f"embedded:{self.directory}"
        info = self.connect().info
        return f"postgresql://{info.host}:{info.port}/{info.dbname}"

    @property
    def limits(self) -> Limits:
        return Limits(self.settings.lock_timeout_ms, self.settings.statement_timeout_ms, self.settings.idle_timeout_ms)

    @property
    def import_limits(self) -> Limits:
        """For what reads or writes row after row: it may wait long, and may think for a minute between statements."""
        limit_ms = self.settings.import_timeout_s * 1000
        return Limits(limit_ms, limit_ms, max(self.settings.idle_timeout_ms, 60_000))

    def connect(self) -> WatchedConnection:
        """The open connection, or a new one. Starts the embedded server if it is down. DatabaseUnavailable."""
        if self._open is None or self._open.closed or self._open.hung_up:
            self._open = self._connect()
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def transact(self, work: Callable[Concatenate[Executor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` in one transaction, committed when it returns. Statements travel together where they can."""
        return _retry(self, lambda: self._once(work, args, kwargs), self.settings.deadline_s)

    def transact_at_length(
        self, limits: Limits, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like `transact` for work that copies rows, which cannot travel in a pipeline, under limits of its own."""
        deadline_s = max(self.settings.deadline_s, limits.statement_ms / 1000)
        return _retry(self, lambda: self._once(work, args, kwargs, limits), deadline_s)

    def transact_in_snapshot(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like `transact`, for work that reads long and writes little; all of it sees the books as it found them."""
        limits = self.import_limits
        deadline_s = max(self.settings.deadline_s, limits.statement_ms / 1000)
        return _retry(
            self, lambda: self._once(work, args, kwargs, limits, SNAPSHOT_TO_WRITE, to_commit=self.limits), deadline_s
        )

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
            raise translated(error) from error

    def snapshot(self, question: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `read`, all statements in one snapshot."""

        def asked(conn: Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
            conn.execute(SNAPSHOT)
            try:
                return question(conn, *args, **kwargs)
            finally:
                conn.rollback()

        return self.read(asked, *args, **kwargs)

    def look(self, question: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `snapshot`, and under the limits of a change: what is stuck on the server does not hold it up."""

        def asked(conn: Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
            conn.execute(LOOK, [str(self.limits.lock_ms), str(self.limits.statement_ms)])
            return question(conn, *args, **kwargs)

        conn = self.connect()
        conn.limit_s = _answer_s(self.limits)
        try:
            return self.snapshot(asked, *args, **kwargs)
        finally:
            conn.limit_s = None

    def _connect(self) -> WatchedConnection:
        try:
            return self._dial()
        except psycopg.ProgrammingError:  # its words may hold the password
            raise errors.BadConfig(detail="database.url is neither a PostgreSQL URL nor embedded:DIR") from None
        except psycopg.OperationalError as error:
            if self.directory is None:
                raise errors.DatabaseUnavailable(detail=_without_secrets(words(error), self.settings.url)) from error
        embedded.start(self.directory, run_as=self.settings.embedded_user)
        try:
            return self._dial()
        except psycopg.OperationalError as error:
            raise errors.DatabaseUnavailable(detail=words(error)) from error

    def _dial(self) -> WatchedConnection:
        # libpq takes these two from the environment only. Times and dates then read the same whoever runs us, also
        # through a pooler, which forwards them where it would refuse startup options.
        os.environ.update(PGTZ="UTC", PGDATESTYLE="ISO")
        conn = WatchedConnection.connect(
            self.conninfo,
            autocommit=True,
            connect_timeout=self.settings.connect_timeout_s,
            application_name=self.application,
            client_encoding="utf8",
        )
        conn.adapters.register_dumper(list, ArrayDumper)
        if not self.settings.prepare:
            conn.prepare_threshold = None  # of a pipeline, too
        return conn

    def _once(
        self,
        work: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        limits: Limits | None = None,
        begin: LiteralString = BEGIN,
        to_commit: Limits | None = None,
    ) -> T:
        """One attempt. `limits` are given by those who cannot use a pipeline; `to_commit` if its COMMIT has others."""
        conn = self.connect()
        conn.limit_s = _answer_s(limits or self.limits)
        conn.slow = partial(self._slow, tell=limits is not None)
        sent = False
        warnings: list[str] = []

        def heard(notice: pg.Diagnostic) -> None:
            if notice.severity_nonlocalized == "WARNING":
                warnings.append(notice.message_primary or "")

        conn.add_notice_handler(heard)
        try:
            if limits is None:
                with ExitStack() as answered, conn.together() as pipeline:
                    _begin(pipeline, self.limits)
                    result = work(pipeline, *args, **kwargs)
                    sent = self.in_doubt = True
                    answered.enter_context(span("commit"))  # until the pipeline is through
                    commit: Rows = pipeline.execute("COMMIT")
            else:
                _begin(conn, limits, begin)
                result = work(conn, *args, **kwargs)
                conn.limit_s = _answer_s(to_commit or limits)
                sent = self.in_doubt = True
                with span("commit"):
                    commit = conn.execute("COMMIT")
        except pg.PipelineAborted as error:  # the work kept an error to itself: nothing was committed
            self.in_doubt = False
            raise errors.DatabaseRefused(detail="a statement failed and COMMIT was skipped") from error
        except psycopg.Error as error:
            raise _Failed(error, unknown=sent and not refused_by_server(error)) from error
        except (KeyboardInterrupt, SystemExit):  # what the server was told, and we noted, is not sure
            conn.close()
            raise
        finally:
            conn.remove_notice_handler(heard)
            self._settle(conn)
            conn.limit_s = None
        if commit.statusmessage != "COMMIT":
            self.in_doubt = False
            raise errors.DatabaseRefused(detail=f"COMMIT was answered by {commit.statusmessage}")
        for warning in warnings:  # the wait for a standby was cut short
            self.told(f"committed on this server, but: {warning}")
        return result

    def _slow(self, *, tell: bool) -> Callable[[float], None]:
        """See by another connection whether ours waits for a lock, and whose. If not, it is slow, and is left alone.

        `tell` for those who may wait for long before they are sent back to try again.
        """
        held, conn = None, self.connect()
        with suppress(errors.LedgerError), closing(self.attached()) as other:
            held = other.look(locks.blocking, conn.info.backend_pid)
        if held is None:
            conn.slow = None
        elif tell:
            self.told(f"waiting: {held.words}")

        def ended(seconds: float) -> None:
            if held is not None:
                self.waits.append(Wait(held, seconds))

        return ended

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
        self.code = type(error).__name__


def _answer_s(limits: Limits) -> float | None:
    """The server ends a statement that takes too long, but not a COMMIT; and it may itself stand still."""
    return limits.statement_ms / 1000 + LATER_S if limits.statement_ms else None


def _begin(conn: Executor, limits: Limits, begin: LiteralString = BEGIN) -> None:
    conn.execute(begin)
    conn.execute(SETTINGS, [str(limits.lock_ms), str(limits.statement_ms), str(limits.idle_ms)])


def _retry(database: Database, attempt: Callable[[], T], deadline_s: float) -> T:
    """Attempts until one answers. OutcomeUnknown when it is interrupted after a COMMIT was handed over."""
    database.in_doubt = False
    try:
        return _attempts(database, attempt, deadline_s)
    except (KeyboardInterrupt, SystemExit) as stop:
        if not database.in_doubt:
            raise
        raise errors.OutcomeUnknown(detail="interrupted while the commit was on its way") from stop


def _attempts(database: Database, attempt: Callable[[], T], deadline_s: float) -> T:
    """Waits for locks go on until the deadline; other failures have a number of tries.

    Whether a transaction was committed is asked longer than the server lets a lost one hold its locks.
    """
    settings, started = database.settings, time.monotonic()
    settle_s = (settings.idle_timeout_ms + settings.lock_timeout_ms) / 1000
    unknown = False
    tries = 0
    while True:
        tries += 1
        try:
            with span("transaction", attempt=tries):
                return attempt()
        except _Failed as failed:
            unknown = database.in_doubt = unknown or failed.unknown
            error: Exception = failed.error
            again = failed.unknown or may_retry(failed.error, tries, settings.retry_attempts)
            if isinstance(error, pg.LockNotAvailable) and not (database.patient or unknown):
                again = False
        except errors.DatabaseUnavailable as unavailable:
            if not unknown:
                raise
            error, again = unavailable, True
        waited_s = time.monotonic() - started
        # Whoever has won the race for a key is through with it.
        wait_s = 0 if isinstance(error, pg.UniqueViolation) else random.uniform(_WAIT_MIN_S, _WAIT_MAX_S)  # noqa: S311 - jitter
        if not again or waited_s + wait_s > (max(deadline_s, settle_s) if unknown else deadline_s):
            if unknown:
                raise errors.OutcomeUnknown(detail=words(error)) from error
            raise translated(error, Spent(tries, waited_s, _holder(database, error))) from error
        if tries == 1 and isinstance(error, pg.LockNotAvailable) and (holder := _holder(database, error)):
            database.told(f"waiting: {holder.words}")
        database.retries += 1
        logs.event("transaction begun again", attempt=tries + 1, sqlstate=getattr(error, "sqlstate", None))
        time.sleep(wait_s)


def _holder(database: Database, error: Exception) -> Holder | None:
    if not isinstance(error, pg.LockNotAvailable):
        return None
    try:
        return database.read(locks.holder, error.diag.context or "")
    except errors.LedgerError:
        return None


def _without_secrets(words: str, url: str) -> str:
    """A password with a bare @ is taken for a part of the host, and would be told as one."""
    secrets = re.match(r"[a-z]+://[^:/@]*:(.*)@", url)
    for part in secrets[1].split("@") if secrets else ():
        words = words.replace(part, "***") if part else words
    return words
