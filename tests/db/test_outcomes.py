"""How transactions end when the server, the wire or the operator does not play along: settled, never doubled.

Beside `test_connection.py`, which shows the mechanism on a table of its own, this one posts real transfers.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ledgerctl import errors
from ledgerctl.core.decision import decide
from ledgerctl.core.model import Posted, Transaction
from ledgerctl.db import audit, constraints, embedded, journal, migrate, reports
from ledgerctl.db.answers import WatchedConnection
from ledgerctl.db.connection import Connection, Database, Limits
from ledgerctl.db.pipeline import Executor, Pipeline
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments, reconciling
from ledgerctl.services.accounts import create_ledger
from ledgerctl.services.books import Books, open_books
from tests.conftest import database_at
from tests.services.conftest import balances, count, new, transfer

PATIENCE_S = 20
NOTE = """
    INSERT INTO audit_logs (ledger_id, actor, action, subject, outcome, request_id) VALUES (1, 'a', 'note', %s, '', '')
"""
Mode = Callable[[Database, Callable[[Executor], Any]], Any]


def in_pipeline(database: Database, work: Callable[[Executor], Any]) -> Any:
    return database.transact(work)


def at_length(database: Database, work: Callable[[Executor], Any]) -> Any:
    return database.transact_at_length(Limits(lock_ms=20, statement_ms=1000, idle_ms=1000), work)


MODES = pytest.mark.parametrize("mode", [in_pipeline, at_length])


@pytest.fixture
def database(conninfo: str) -> Iterator[Database]:
    with closing(database_at(conninfo, lock_timeout_ms=20, deadline_s=5)) as opened:
        yield opened


@pytest.fixture
def lending(books: Books) -> Books:
    """`bank`, an asset that may go as deep as it likes, and `alice`."""
    accounts.create(books, [new("bank", "asset", None), new("alice"), new("bob")])
    return books


def note(conn: Executor, subject: str) -> None:
    """Something to be seen afterwards, or not; its answer is not waited for."""
    conn.execute(NOTE.encode(), [subject])


def notes(conn: Connection) -> list[str]:
    rows = conn.execute("SELECT subject FROM audit_logs WHERE action = 'note' ORDER BY id").fetchall()
    return [subject for (subject,) in rows]


def raise_in_server(conn: Executor, sqlstate: str, constraint: str = "") -> None:
    words = f"ERRCODE = '{sqlstate}', CONSTRAINT = '{constraint}'"
    conn.execute(f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING {words}; END $$".encode())


def until(happened: Callable[[], Any]) -> Any:
    deadline = monotonic() + PATIENCE_S
    while not (found := happened()):
        assert monotonic() < deadline, "it did not happen"
        sleep(0.005)
    return found


def waiting(conn: Connection) -> list[int]:
    """The sessions of this database that wait for a lock, the longest wait first."""
    rows = conn.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " ORDER BY query_start"
    )
    return [pid for (pid,) in rows.fetchall()]


class Attempts:
    """Notes each attempt; those before `good` end with an error of the server."""

    def __init__(self, sqlstate: str, good: int, *, constraint: str = "", awaited: bool = False) -> None:
        self.sqlstate, self.good, self.constraint, self.awaited = sqlstate, good, constraint, awaited
        self.made = 0

    def __call__(self, conn: Executor) -> str:
        self.made += 1
        note(conn, f"attempt {self.made}")
        if self.made < self.good:
            raise_in_server(conn, self.sqlstate, self.constraint)
            if self.awaited:
                conn.execute("SELECT 1").fetchall()
        return f"attempt {self.made}"


# -- errors of the server --------------------------------------------------------------------------------------------


PASSING = ["40001", "40P01", "55P03"]
RACES = [
    constraints.IDEMPOTENCY_KEY,
    constraints.REVERSED_ONCE,
    constraints.ACCOUNT_CODE,
    constraints.LEDGER_NAME,
    constraints.CURRENCY_CODE,
]


@MODES
@pytest.mark.parametrize("awaited", [True, False])
def test_a_passing_failure_is_run_again_from_the_start(
    database: Database, conn: Connection, mode: Mode, awaited: bool
) -> None:
    """Whether it shows at once, or only with the answers that travel together with that of COMMIT."""
    for sqlstate in PASSING:
        assert mode(database, Attempts(sqlstate, 3, awaited=awaited)) == "attempt 3", sqlstate

    assert notes(conn) == ["attempt 3"] * len(PASSING)


def test_a_lost_race_is_run_again(database: Database, conn: Connection) -> None:
    for constraint in RACES:
        assert database.transact(Attempts("23505", 2, constraint=constraint)) == "attempt 2", constraint

    assert notes(conn) == ["attempt 2"] * len(RACES)


@MODES
def test_failures_without_end_are_busy_and_change_nothing(conninfo: str, conn: Connection, mode: Mode) -> None:
    for sqlstate, constraint in (("40001", ""), ("40P01", ""), ("23505", constraints.ACCOUNT_CODE)):
        work = Attempts(sqlstate, 100, constraint=constraint)

        with closing(database_at(conninfo, retry_attempts=3)) as database, pytest.raises(errors.Busy) as caught:
            mode(database, work)

        assert (work.made, caught.value.details["attempts"]) == (3, 3), sqlstate
        assert caught.value.exit_code == errors.Exit.TRY_AGAIN
    assert notes(conn) == []


OTHER_ERRORS: dict[str, type[errors.LedgerError]] = {
    "23514": errors.DatabaseRefused,
    "22003": errors.DatabaseRefused,
    "23505": errors.DatabaseRefused,  # of a constraint that nobody races for
    "25006": errors.DatabaseUnavailable,
    "42501": errors.PermissionDenied,
    "42P01": errors.WrongSchema,
    "57014": errors.Busy,
}


@MODES
def test_another_error_is_reported_at_once_and_changes_nothing(
    database: Database, conn: Connection, mode: Mode
) -> None:
    for sqlstate, error in OTHER_ERRORS.items():
        work = Attempts(sqlstate, 2)

        with pytest.raises(error):
            mode(database, work)

        assert work.made == 1, sqlstate
    assert notes(conn) == []
    assert mode(database, Attempts("", 1)) == "attempt 1"


@MODES
def test_an_error_that_the_work_keeps_to_itself_is_no_success(database: Database, conn: Connection, mode: Mode) -> None:
    """The transaction is lost then, and COMMIT is skipped or answered by ROLLBACK: known to have changed nothing."""

    def swallow(inner: Executor) -> None:
        note(inner, "never")
        with pytest.raises(psycopg.errors.DivisionByZero):
            inner.execute("SELECT 1/0").fetchall()

    with pytest.raises(errors.DatabaseRefused):
        mode(database, swallow)

    assert notes(conn) == []


@MODES
def test_a_constraint_that_fires_at_the_commit_is_a_refusal(database: Database, conn: Connection, mode: Mode) -> None:
    at_commit(conn, "RAISE EXCEPTION 'planted' USING ERRCODE = 'check_violation'")

    with pytest.raises(errors.DatabaseRefused):
        mode(database, lambda inner: note(inner, "never"))

    assert notes(conn) == []


def at_commit(conn: Connection, statement: str) -> None:
    """Something that the server does inside a COMMIT of whatever wrote an audit line."""
    body = f"BEGIN {statement}; RETURN NULL; END"
    conn.execute(f"CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$".encode())
    conn.execute(
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON audit_logs DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION at_commit()"
    )


# -- the race for a key ----------------------------------------------------------------------------------------------


class _RolledBack(Exception):
    pass


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_whoever_waits_for_a_key_that_another_is_posting_learns_how_that_ended(
    lending: Books, open_main: Callable[..., Books], conn: Connection, end: str
) -> None:
    """They have no account in common, so that the second comes as far as the key itself."""
    accounts.create(lending, [new("vault", "asset", None)])
    quick = open_main()
    second: list[Future[payments.Receipt]] = []

    with ThreadPoolExecutor(1) as threads:

        def first(inner: Executor) -> None:
            asked = [transfer("vault", "bob", "5", "same")]
            outcomes, standings, _ = decide(asked, journal.gather(inner, lending.ledger, asked).facts)
            journal.write(inner, lending.ledger, [one for one in outcomes if isinstance(one, Posted)], standings)
            inner.execute("SELECT 1").fetchall()
            second.append(threads.submit(payments.post_one, quick, transfer("bank", "alice", "7", "same")))
            until(lambda: waiting(conn))
            if end == "rollback":
                raise _RolledBack

        try:
            lending.database.transact(first)
        except _RolledBack:
            assert second[0].result().replayed is False
        else:
            with pytest.raises(errors.IdempotencyConflict, match="accounts, amount"):
                second[0].result()

    won = {"bob": 5, "vault": 5} if end == "commit" else {"alice": 7, "bank": 7}
    assert {code: balance for code, balance in balances(conn).items() if balance} == won


# -- the wire --------------------------------------------------------------------------------------------------------


def test_a_connection_that_died_while_idle_is_replaced(lending: Books, conn: Connection) -> None:
    end_session(conn, lending.database.connect().info.backend_pid)

    posted_once(lending, conn, payments.post_one(lending, transfer("bank", "alice", "5")))


@pytest.mark.parametrize("how", ["killed", "cut"])
def test_a_transfer_that_loses_the_server_before_the_commit_is_posted_once(
    lending: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    log = audit.log
    lost: list[int] = []

    def then_lose(inner: Executor, *args: Any) -> None:
        """The audit line is the last that a posting writes; then comes the COMMIT."""
        log(inner, *args)
        if not lost:
            lost.append(1)
            own = lending.database.connect()
            end_session(conn, own.info.backend_pid) if how == "killed" else cut(own)

    monkeypatch.setattr(audit, "log", then_lose)

    posted_once(lending, conn, payments.post_one(lending, transfer("bank", "alice", "5")))


@pytest.fixture
def slow_commit(lending: Books, conn: Connection) -> Connection:
    """Whatever writes an audit line stands still inside its COMMIT until advisory lock 1 is free: held here."""
    at_commit(conn, "PERFORM pg_advisory_xact_lock(1)")
    conn.execute("SELECT pg_advisory_lock(1)")
    return conn


def let_go(conn: Connection) -> None:
    assert conn.execute("SELECT pg_advisory_unlock(1)").fetchone() == (True,)


@pytest.mark.parametrize("kind", ["transfer", "reversal"])
def test_a_posting_whose_answer_is_lost_waits_for_its_orphan_and_finds_it_posted(
    lending: Books, conn: Connection, kind: str
) -> None:
    """The server goes on with a COMMIT whose client is gone; the second attempt stands behind it at the accounts."""
    original = payments.post_one(lending, transfer("bank", "alice", "5")).transaction.id
    at_commit(conn, "PERFORM pg_advisory_xact_lock(1)")
    conn.execute("SELECT pg_advisory_lock(1)")
    lost = lending.database.connect()

    def cut_and_let_go() -> None:
        until(lambda: waiting(conn))
        cut(lost)
        until(lambda: len(waiting(conn)) == 2)
        let_go(conn)

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(cut_and_let_go)
        if kind == "transfer":
            receipt = payments.post_one(lending, transfer("bank", "alice", "7", "lost"))
        else:
            receipt = payments.reverse(lending, uuid7(), "lost", original, None, None)
        done.result()

    assert receipt.replayed is False
    rows = conn.execute("SELECT id FROM transactions WHERE idempotency_key = 'lost'").fetchall()
    assert rows == [(receipt.transaction.id,)]
    assert count(conn, "audit_logs", f"subject = '{receipt.transaction.id}'") == 1
    assert balances(conn)["alice"] == (12 if kind == "transfer" else 0)
    assert receipt.transaction.lines[0].balance == (1200 if kind == "transfer" else 0)


def test_what_was_found_posted_is_never_told_as_a_failure(
    lending: Books, slow_commit: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is lost, and then the connection again, while the second attempt reads what the first has posted."""
    lost = lending.database.connect()
    read, reading = reports.transactions, itertools.count(1)

    def read_and_cut(conn: Executor, ledger: int, ids: Sequence[UUID]) -> dict[UUID, Transaction]:
        if next(reading) == 1:
            cut(lending.database.connect())
        return read(conn, ledger, ids)

    def cut_and_let_go() -> None:
        until(lambda: waiting(slow_commit))
        cut(lost)
        until(lambda: len(waiting(slow_commit)) == 2)
        let_go(slow_commit)

    monkeypatch.setattr(reports, "transactions", read_and_cut)
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(cut_and_let_go)
        receipt = payments.post_one(lending, transfer("bank", "alice", "5"))
        done.result()

    assert next(reading) == 3
    posted_once(lending, slow_commit, receipt)


def test_an_outcome_that_cannot_be_settled_is_unknown_and_the_same_request_settles_it(
    server: str, lending: Books, slow_commit: Connection
) -> None:
    request = transfer("bank", "alice", "5")
    name = slow_commit.info.dbname
    with (
        closing(
            database_at(lending.database.conninfo, deadline_s=0.3, lock_timeout_ms=50, idle_timeout_ms=200)
        ) as database,
        psycopg.connect(server, autocommit=True) as outside,
        ThreadPoolExecutor(1) as threads,
    ):
        lost = database.connect()

        def lock_out() -> None:
            until(lambda: waiting(slow_commit))
            outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            cut(lost)

        done = threads.submit(lock_out)
        with pytest.raises(errors.OutcomeUnknown) as caught:
            payments.post_one(replace(lending, database=database), request)
        done.result()
        outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    let_go(slow_commit)

    assert caught.value.exit_code == errors.Exit.OUTCOME_UNKNOWN
    posted_once(lending, slow_commit, payments.post_one(lending, request))


def test_an_outcome_is_not_told_while_the_orphan_still_holds_the_accounts(
    lending: Books, slow_commit: Connection
) -> None:
    """A wait for its locks that comes to nothing is not "nothing was changed"."""
    request = transfer("bank", "alice", "5")
    with (
        closing(
            database_at(lending.database.conninfo, deadline_s=0.5, lock_timeout_ms=50, idle_timeout_ms=200)
        ) as database,
        ThreadPoolExecutor(1) as threads,
    ):
        lost = database.connect()

        def cut_inside_the_commit() -> None:
            until(lambda: waiting(slow_commit))
            cut(lost)

        done = threads.submit(cut_inside_the_commit)
        with pytest.raises(errors.OutcomeUnknown):
            payments.post_one(replace(lending, database=database), request)
        done.result()
    let_go(slow_commit)

    posted_once(lending, slow_commit, payments.post_one(lending, request))


def cut(conn: Connection) -> None:
    """Shut the socket under the driver's feet; the server does not hear of it before it answers."""
    with socket.socket(fileno=os.dup(conn.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def end_session(conn: Connection, pid: int) -> None:
    assert conn.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)


def posted_once(books: Books, conn: Connection, receipt: payments.Receipt) -> None:
    """5 from bank to alice, with its audit line, said to be posted and not replayed."""
    assert receipt.replayed is False
    assert conn.execute("SELECT id FROM transactions").fetchall() == [(receipt.transaction.id,)]
    assert conn.execute("SELECT subject FROM audit_logs WHERE action = 'transfer'").fetchall() == [
        (str(receipt.transaction.id),)
    ]
    assert balances(conn) == {"bank": 5, "alice": 5, "bob": 0}
    assert reconciling.run(books, lambda *_: None).findings == []


# -- interrupts ------------------------------------------------------------------------------------------------------


@MODES
def test_an_interrupt_before_the_commit_changes_nothing(database: Database, conn: Connection, mode: Mode) -> None:
    def work(inner: Executor) -> None:
        note(inner, "never")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mode(database, work)

    assert notes(conn) == []
    assert mode(database, Attempts("", 1)) == "attempt 1"


@MODES
def test_an_interrupt_during_the_commit_leaves_the_outcome_unknown(
    database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    session = Pipeline if mode is in_pipeline else WatchedConnection
    execute = session.execute

    def interrupted(self: Any, query: Any, *args: Any) -> Any:
        answer = execute(self, query, *args)
        if query == "COMMIT":
            execute(self, "SELECT 1").fetchall()  # it has been run then
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(session, "execute", interrupted)
    with pytest.raises(errors.OutcomeUnknown):
        mode(database, lambda inner: note(inner, "there"))

    assert notes(conn) == ["there"]


def test_an_interrupt_while_a_lost_outcome_is_settled_leaves_it_unknown(
    lending: Books, slow_commit: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two attempts, too: the first may have been committed."""
    lost = lending.database.connect()

    def cut_inside_the_commit() -> None:
        until(lambda: waiting(slow_commit))
        cut(lost)

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ledgerctl.db.connection.time.sleep", interrupted)
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(cut_inside_the_commit)
        with pytest.raises(errors.OutcomeUnknown):
            payments.post_one(lending, transfer("bank", "alice", "5"))
        done.result()
    let_go(slow_commit)


# -- who is in the way -----------------------------------------------------------------------------------------------


def test_a_lock_waited_for_in_vain_names_its_account_and_its_holder(
    lending: Books, open_main: Callable[..., Books], conn: Connection
) -> None:
    told: list[str] = []
    impatient = open_main(lock_timeout_ms=50, deadline_s=2)
    impatient.database.told = told.append
    conn.execute("SET application_name = 'a long report'")
    with conn.transaction():
        conn.execute("SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")

        with pytest.raises(errors.Busy) as caught:
            payments.post_one(impatient, transfer("bank", "alice", "5"))

        pid = conn.info.backend_pid
    details = caught.value.details
    assert details["holder"].pop("seconds") < PATIENCE_S
    assert details["holder"] == {
        "account": "alice", "pid": pid, "application": "a long report", "state": "idle in transaction",
    }  # fmt: skip
    assert details["attempts"] > 1
    assert 0 < details["waited_s"] < PATIENCE_S
    words = f"account 'alice' is locked by process {pid} (a long report), idle in transaction, for "
    assert words in str(caught.value)
    assert [sentence.startswith(f"waiting: {words}") for sentence in told] == [True]


def test_who_waits_behind_another_for_a_row_learns_who_holds_the_accounts(
    lending: Books, open_main: Callable[..., Books], conn: Connection
) -> None:
    """The server names the row to the first in the queue only."""
    with conn.transaction(), ThreadPoolExecutor(1) as threads:
        conn.execute("SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")
        first = threads.submit(payments.post_one, lending, transfer("bank", "alice", "5"))
        with psycopg.connect(lending.database.conninfo) as outside:
            until(lambda: waiting(outside))

            with pytest.raises(errors.Busy) as caught:
                payments.post_one(open_main(lock_timeout_ms=50, deadline_s=0.1), transfer("opening", "alice", "5"))

        assert caught.value.details["holder"]["pid"] == conn.info.backend_pid
        conn.execute("ROLLBACK")
        first.result()


def test_a_server_that_stands_still_is_not_waited_for_without_end(
    lending: Books, open_main: Callable[..., Books], slow_commit: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped inside the COMMIT, it answers no cancel either; once it goes on, the request is found posted."""
    monkeypatch.setattr("ledgerctl.db.answers.LATER_S", 0.2)
    request = transfer("bank", "alice", "5")
    impatient = open_main(statement_timeout_ms=100, lock_timeout_ms=50, idle_timeout_ms=200, deadline_s=0.1)
    pid = impatient.database.connect().info.backend_pid
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(payments.post_one, impatient, request)
        until(lambda: waiting(slow_commit))
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(errors.OutcomeUnknown):
                done.result()
        finally:
            os.kill(pid, signal.SIGCONT)
    let_go(slow_commit)

    posted_once(lending, slow_commit, payments.post_one(lending, request))


def test_a_commit_that_no_standby_confirmed_is_told_and_not_posted_again(directory: Path) -> None:
    told: list[str] = []
    embedded.create(directory / "data")
    try:
        conninfo = embedded.conninfo(directory / "data")
        migrate.upgrade(conninfo)
        with (
            closing(database_at(conninfo, statement_timeout_ms=200)) as database,
            psycopg.connect(conninfo, autocommit=True) as conn,
        ):
            create_ledger(database, "main", "tests", "r")
            books = open_books(database, "main", "tester", "r")
            accounts.create(books, [new("bank", "asset", None), new("alice"), new("bob")])
            database.told = told.append
            conn.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            conn.execute("SELECT pg_reload_conf()")
            until(lambda: conn.execute("SHOW synchronous_standby_names").fetchone() == ("nobody",))

            receipt = payments.post_one(books, transfer("bank", "alice", "5"))

            posted_once(books, conn, receipt)
        assert [sentence for sentence in told if "synchronous replication" in sentence]
    finally:
        embedded.stop(directory / "data")


# -- a server that may forget ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_server_that_may_lose_a_commit_is_refused_unless_it_is_marked(
    books: Books, conn: Connection, setting: str
) -> None:
    """The servers of the tests are such, and marked; a role or a database may switch synchronous_commit off, too."""
    name = conn.info.dbname
    conn.execute(f"ALTER DATABASE {name} SET ledgerctl.ephemeral = off".encode())

    with closing(database_at(books.database.conninfo)) as database, pytest.raises(errors.NotDurable) as refused:
        open_books(database, "main", "tester", "r")

    assert setting in refused.value.details["off"]
    assert refused.value.exit_code == errors.Exit.BAD_CONFIG
    conn.execute(f"ALTER DATABASE {name} RESET ledgerctl.ephemeral".encode())
    with closing(database_at(books.database.conninfo)) as database:
        assert open_books(database, "main", "tester", "r").ledger == books.ledger


# -- what a transaction runs under -----------------------------------------------------------------------------------


def test_a_change_runs_under_the_limits_of_the_settings_and_the_session_keeps_its_own(conninfo: str) -> None:
    presumed = make_conninfo(conninfo, options="-c lock_timeout=7ms -c default_transaction_isolation=serializable")
    names = ("transaction_isolation", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")

    def ask(conn: Executor) -> list[str]:
        return [conn.execute("SELECT current_setting(%s)", [name]).fetchall()[0][0] for name in names]

    with closing(
        database_at(presumed, lock_timeout_ms=1500, statement_timeout_ms=2500, idle_timeout_ms=3500)
    ) as database:
        assert database.transact(ask) == ["read committed", "1500ms", "2500ms", "3500ms"]
        assert database.transact_at_length(Limits(11, 12, 0), ask) == ["read committed", "11ms", "12ms", "0"]
        assert database.read(ask) == ["serializable", "7ms", "0", "0"]
        assert database.snapshot(ask) == ["repeatable read", "7ms", "0", "0"]


def test_a_statement_that_takes_too_long_is_busy(conninfo: str, conn: Connection) -> None:
    def slow(inner: Executor) -> None:
        note(inner, "never")
        inner.execute("SELECT pg_sleep(5)").fetchall()

    with closing(database_at(conninfo, statement_timeout_ms=30)) as database, pytest.raises(errors.Busy):
        database.transact(slow)

    assert notes(conn) == []


def test_a_new_account_does_not_wait_for_a_posting_in_its_currency(
    lending: Books, open_main: Callable[..., Books], conn: Connection
) -> None:
    """Posting locks rows in a way that lets foreign keys look at them."""
    with conn.transaction():
        conn.execute(journal.LOCK.encode(), [lending.ledger, ["bank", "alice"]])
        conn.execute("SELECT FROM currencies WHERE code = 'EUR' FOR NO KEY UPDATE")

        assert accounts.create(open_main(lock_timeout_ms=50, deadline_s=0.1), [new("carol")]).created == 1


def test_a_role_that_may_only_read_is_denied_and_may_read(conninfo: str, conn: Connection, lending: Books) -> None:
    role = f"reader_{uuid4().hex[:12]}"
    conn.execute(f"CREATE ROLE {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}".encode())
    try:
        with closing(database_at(make_conninfo(conninfo, options=f"-c role={role}"))) as database:
            assert database.read(balances) == {"bank": 0, "alice": 0, "bob": 0}
            with pytest.raises(errors.PermissionDenied):
                payments.post_one(replace(lending, database=database), transfer("bank", "alice", "5"))
    finally:
        conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())

    assert count(conn, "transactions") == 0
