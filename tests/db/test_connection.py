"""What a transaction does when the database does not do as it is told: retried, refused, settled, never doubled."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledgerctl import config, errors
from ledgerctl.core.decision import decide
from ledgerctl.core.model import Posted, Request
from ledgerctl.db import audit, journal
from ledgerctl.db.connection import Connection, Database, Limits
from ledgerctl.services import payments
from ledgerctl.services.books import Books
from tests.conftest import database_at
from tests.services import scene

SECRET = "hunter2-canary"
OPENED = (
    "INSERT INTO audit_logs (ledger_id, actor, action, subject, outcome, request_id) VALUES (1, 'a', 'b', {}, 'd', 'e')"
)
Mode = Callable[..., Any]


def in_pipeline(database: Database, work: Callable[[Connection], Any]) -> Any:
    return database.transact(work)


def at_length(database: Database, work: Callable[[Connection], Any]) -> Any:
    return database.transact_at_length(Limits(20, 1000, 1000), work)


MODES = pytest.mark.parametrize("mode", [in_pipeline, at_length])


@pytest.fixture
def database(conninfo: str) -> Iterator[Database]:
    with closing(database_at(conninfo, lock_timeout_ms=20, deadline_s=5)) as opened:
        yield opened


def note(conn: Connection, subject: str) -> None:
    """Something to be seen afterwards, or not."""
    conn.execute(OPENED.format("%s").encode(), [subject])


def noted(conn: Connection) -> list[str]:
    return [row[0] for row in scene.rows(conn, "SELECT subject FROM audit_logs WHERE action = 'b' ORDER BY id")]


def fail(conn: Connection, sqlstate: str) -> None:
    conn.execute(f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{sqlstate}'; END $$".encode())


class Work:
    """Notes something; the attempts before `good` fail as told."""

    def __init__(self, sqlstate: str, good: int, *, awaited: bool = False) -> None:
        self.sqlstate, self.good, self.awaited, self.attempts = sqlstate, good, awaited, 0

    def __call__(self, conn: Connection) -> str:
        self.attempts += 1
        note(conn, f"attempt {self.attempts}")
        if self.attempts < self.good:
            fail(conn, self.sqlstate)
            if self.awaited:
                conn.execute("SELECT 1").fetchall()
        return f"attempt {self.attempts}"


# -- retries ---------------------------------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03"])
def test_a_passing_failure_is_tried_again_from_the_start(
    database: Database, conn: Connection, mode: Mode, sqlstate: str, awaited: bool
) -> None:
    work = Work(sqlstate, good=3, awaited=awaited)

    assert mode(database, work) == "attempt 3"

    assert noted(conn) == ["attempt 3"]


@MODES
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_failures_without_end_are_busy_and_change_nothing(
    conninfo: str, conn: Connection, mode: Mode, sqlstate: str
) -> None:
    work = Work(sqlstate, good=100)
    with closing(database_at(conninfo, retry_attempts=3)) as database, pytest.raises(errors.Busy) as caught:
        mode(database, work)

    assert (work.attempts, caught.value.details["attempts"]) == (3, 3)
    assert caught.value.exit_code == errors.Exit.TRY_AGAIN
    assert noted(conn) == []


@MODES
@pytest.mark.parametrize(
    ("sqlstate", "error"),
    [
        ("23514", errors.DatabaseRefused),
        ("22003", errors.DatabaseRefused),
        ("25006", errors.DatabaseRefused),
        ("23505", errors.DatabaseRefused),
        ("42501", errors.PermissionDenied),
        ("42P01", errors.WrongSchema),
        ("57014", errors.Busy),
    ],
)
def test_any_other_error_is_not_tried_again(
    database: Database, conn: Connection, mode: Mode, sqlstate: str, error: type[errors.LedgerError]
) -> None:
    work = Work(sqlstate, good=2)

    with pytest.raises(error):
        mode(database, work)

    assert work.attempts == 1
    assert noted(conn) == []
    assert mode(database, Work("", good=1)) == "attempt 1"


@MODES
def test_an_error_of_our_own_passes_and_changes_nothing(database: Database, conn: Connection, mode: Mode) -> None:
    def work(inner: Connection) -> None:
        note(inner, "never")
        raise errors.AccountNotFound(account="nobody")

    with pytest.raises(errors.AccountNotFound):
        mode(database, work)

    assert noted(conn) == []


def test_two_that_lock_crosswise_both_end_well(conninfo: str, conn: Connection, books: Books) -> None:
    """A true deadlock: the server ends one of them, which runs again."""
    scene.create(books, "alice", "bob")
    quick = make_conninfo(conninfo, options="-c deadlock_timeout=20ms")
    met, attempts = Barrier(2, timeout=10), []

    def crosswise(first: str, second: str) -> None:
        mine: list[int] = []

        def work(inner: Connection) -> None:
            attempts.append(first)
            mine.append(1)
            inner.execute(journal.LOCK.encode(), [books.ledger, [first]]).fetchall()
            if len(mine) == 1:
                met.wait()
            inner.execute(journal.LOCK.encode(), [books.ledger, [second]]).fetchall()
            note(inner, first)

        with closing(database_at(quick)) as database:
            database.transact(work)

    scene.at_once(lambda: crosswise("alice", "bob"), lambda: crosswise("bob", "alice"))

    assert sorted(noted(conn)) == ["alice", "bob"]
    assert len(attempts) == 3


# -- locks -----------------------------------------------------------------------------------------------------------


def test_a_lock_that_is_not_given_up_is_busy_at_the_deadline(conninfo: str, conn: Connection, books: Books) -> None:
    scene.create(books, "alice")
    with (
        closing(database_at(conninfo, lock_timeout_ms=10, deadline_s=0.5, retry_attempts=1)) as database,
        conn.transaction(),
    ):
        conn.execute("SELECT FROM accounts WHERE code = 'alice' FOR NO KEY UPDATE")
        with pytest.raises(errors.Busy) as caught:
            payments.post_one(_with(books, database), scene.asked("bank", "alice", 1))

    assert caught.value.exit_code == errors.Exit.TRY_AGAIN
    assert scene.count(conn, "transactions") == 0


def test_a_lock_that_is_given_up_in_time_is_waited_for(conninfo: str, conn: Connection, books: Books) -> None:
    """More waits than the number of attempts, which is for other failures."""
    scene.create(books, "alice")
    tries: list[int] = []

    def work(inner: Connection) -> None:
        tries.append(1)
        if len(tries) == 4:
            conn.rollback()
        inner.execute(journal.LOCK.encode(), [books.ledger, ["alice"]]).fetchall()

    conn.execute("BEGIN")
    conn.execute("SELECT FROM accounts WHERE code = 'alice' FOR NO KEY UPDATE")
    with closing(database_at(conninfo, lock_timeout_ms=10, deadline_s=20, retry_attempts=1)) as database:
        database.transact(work)

    assert len(tries) == 4


def test_foreign_key_checks_do_not_wait_for_a_posting(database: Database, conn: Connection, books: Books) -> None:
    scene.create(books, "alice")
    with conn.transaction():
        conn.execute(journal.LOCK.encode(), [books.ledger, ["alice"]])

        database.transact(
            lambda inner: inner.execute(
                "INSERT INTO reconciliation_checkpoints (ledger_id, account_id, seq, balance)"
                " SELECT ledger_id, id, 0, 0 FROM accounts WHERE code = 'alice'"
            )
        )


# -- the race for a key ----------------------------------------------------------------------------------------------


@pytest.fixture
def racers(open_main: Callable[..., Books], conn: Connection) -> Callable[[str], Any]:
    """One posts under the key and holds it until another, with other accounts, waits for it; then it ends as told."""
    slow, quick = open_main(), open_main()
    scene.create(slow, "alice", "bob")

    def race(end: str) -> Any:
        with ThreadPoolExecutor(1) as threads:

            def first(inner: Connection) -> Any:
                _post(inner, slow, [scene.asked("bank", "alice", 5, "same")])
                inner.execute("SELECT 1").fetchall()
                second = threads.submit(lambda: scene.transfer(quick, "bank", "bob", 7, "same"))
                scene.until(lambda: scene.waiting(conn))
                if end == "rollback":
                    raise _Stopped(second)
                return second

            # Only the key is in the way: the two have no account in common but the bank, which is not locked here.
            try:
                second = slow.database.transact(first)
            except _Stopped as stopped:
                second = stopped.second
            return second.result(scene.PATIENCE_S)

    return race


class _Stopped(Exception):
    def __init__(self, second: Any) -> None:
        self.second = second


def test_whoever_loses_the_race_for_a_key_meets_the_conflict(racers: Callable[[str], Any], conn: Connection) -> None:
    with pytest.raises(errors.IdempotencyConflict) as caught:
        racers("commit")

    assert "accounts" in caught.value.details["fields"]
    assert scene.balances(conn) == {"bank": 5, "alice": 5, "bob": 0}


def test_whoever_waits_for_a_key_that_is_given_back_gets_it(racers: Callable[[str], Any], conn: Connection) -> None:
    assert racers("rollback").replayed is False

    assert scene.balances(conn) == {"bank": 7, "alice": 0, "bob": 7}


@pytest.mark.parametrize("constraint", ["transactions_idempotency_key", "transactions_reversed_once", "accounts_code"])
def test_a_lost_race_is_run_again_and_one_that_is_lost_for_ever_is_busy(conninfo: str, constraint: str) -> None:
    attempts: list[int] = []

    def lost(inner: Connection) -> None:
        attempts.append(1)
        words = f"ERRCODE = '23505', CONSTRAINT = '{constraint}'"
        inner.execute(f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING {words}; END $$".encode())

    with closing(database_at(conninfo, retry_attempts=3)) as database, pytest.raises(errors.Busy):
        database.transact(lost)

    assert len(attempts) == 3


# -- COMMIT ----------------------------------------------------------------------------------------------------------


def _swallowed(conn: Connection) -> None:
    """An error that some code keeps to itself: the transaction is lost, and COMMIT no more than a ROLLBACK."""
    note(conn, "lost")
    with pytest.raises(psycopg.errors.DivisionByZero):
        conn.execute("SELECT 1/0").fetchall()


@MODES
def test_a_commit_that_only_rolls_back_is_no_success(database: Database, conn: Connection, mode: Mode) -> None:
    with pytest.raises(errors.DatabaseRefused):
        mode(database, _swallowed)

    assert noted(conn) == []


@MODES
def test_a_constraint_that_fires_at_the_commit_is_a_refusal(
    database: Database, conn: Connection, books: Books, mode: Mode
) -> None:
    _at_commit(conn, "RAISE EXCEPTION 'planted' USING ERRCODE = 'check_violation'")

    with pytest.raises(errors.DatabaseRefused):
        mode(database, lambda inner: note(inner, "never"))

    assert noted(conn) == []


def _at_commit(conn: Connection, statement: str) -> None:
    """Something that the server does in the middle of a COMMIT that wrote an audit line."""
    body = f"BEGIN {statement}; RETURN NULL; END"
    conn.execute(f"CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$".encode())
    conn.execute(
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON audit_logs DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION at_commit()"
    )


# -- lost connections ------------------------------------------------------------------------------------------------


def test_a_connection_that_died_while_idle_is_replaced(books: Books, conn: Connection) -> None:
    scene.create(books, "alice")
    _end(conn, books.database.connect().info.backend_pid)

    receipt = scene.transfer(books, "bank", "alice", 5)

    assert receipt.replayed is False
    assert scene.balances(conn) == {"bank": 5, "alice": 5}


@MODES
def test_a_connection_killed_before_the_commit_leaves_one_change(
    database: Database, conn: Connection, mode: Mode
) -> None:
    attempts: list[int] = []

    def work(inner: Connection) -> None:
        attempts.append(1)
        note(inner, f"attempt {len(attempts)}")
        inner.execute("SELECT 1").fetchall()
        if len(attempts) == 1:
            _end(conn, inner.info.backend_pid)

    mode(database, work)

    assert noted(conn) == ["attempt 2"]


def test_a_transfer_whose_backend_is_killed_before_the_commit_is_posted_once(
    books: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.create(books, "alice")
    _first_time_after_the_audit_line(monkeypatch, lambda inner: _end(conn, inner.info.backend_pid))

    receipt = scene.transfer(books, "bank", "alice", 5)

    assert receipt.replayed is False
    _posted_once(books, conn, receipt)


def test_a_transfer_whose_backend_is_killed_in_the_commit_is_posted_once(books: Books, conn: Connection) -> None:
    """The server is inside COMMIT, not yet past it."""
    scene.create(books, "alice")
    _at_commit(conn, "PERFORM pg_advisory_xact_lock(1)")
    conn.execute("SELECT pg_advisory_lock(1)")

    def murder() -> None:
        scene.until(lambda: scene.waiting(conn))
        _end(conn, scene.waiting(conn)[0])
        conn.execute("SELECT pg_advisory_unlock(1)")

    receipt, _ = scene.at_once(lambda: scene.transfer(books, "bank", "alice", 5), murder)

    assert receipt is not None
    assert receipt.replayed is False
    _posted_once(books, conn, receipt)


LOST = {"the answer to the commit": socket.SHUT_RD, "the commit itself": socket.SHUT_RDWR}


@pytest.mark.parametrize("lost", LOST)
def test_a_transfer_whose_commit_is_lost_is_posted_once(
    books: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    scene.create(books, "alice")
    _first_time_after_the_audit_line(monkeypatch, lambda inner: _cut(inner, LOST[lost]))

    receipt = scene.transfer(books, "bank", "alice", 5)

    assert receipt.replayed is False
    _posted_once(books, conn, receipt)


def test_the_lost_answer_belonged_to_a_commit_that_happened(
    books: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds the test before this one to its word: without a second attempt the transfer is there."""
    scene.create(books, "alice")
    _first_time_after_the_audit_line(monkeypatch, lambda inner: _cut(inner, socket.SHUT_RD))
    database = database_at(books.database.conninfo, deadline_s=0.001)

    with closing(database), pytest.raises(errors.OutcomeUnknown):
        scene.transfer(_with(books, database), "bank", "alice", 5)

    scene.until(lambda: scene.balances(conn) == {"bank": 5, "alice": 5})


def test_a_reversal_whose_commit_is_lost_is_posted_once(
    books: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.create(books, "alice")
    original = scene.transfer(books, "bank", "alice", 5).transaction.id
    _first_time_after_the_audit_line(monkeypatch, lambda inner: _cut(inner, socket.SHUT_RD))

    receipt = payments.reverse(books, uuid4(), "undo", original, None, None)

    assert receipt.replayed is False
    assert scene.rows(conn, "SELECT id FROM transactions WHERE reverses = %s", original) == [(receipt.transaction.id,)]
    assert scene.balances(conn) == {"bank": 0, "alice": 0}


@pytest.mark.parametrize("lost", LOST)
def test_an_outcome_that_cannot_be_settled_is_unknown(
    server: str, books: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    scene.create(books, "alice")
    name = conninfo_to_dict(books.database.conninfo)["dbname"]
    request = scene.asked("bank", "alice", 5)
    database = database_at(books.database.conninfo, deadline_s=0.3)
    with psycopg.connect(server, autocommit=True) as outside:

        def gone(inner: Connection) -> None:
            outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            _cut(inner, LOST[lost])

        _first_time_after_the_audit_line(monkeypatch, gone)
        with closing(database), pytest.raises(errors.OutcomeUnknown) as caught:
            payments.post_one(_with(books, database), request)
        outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())

    assert caught.value.exit_code == errors.Exit.OUTCOME_UNKNOWN
    _posted_once(books, conn, payments.post_one(books, request))


def test_an_interrupt_during_the_commit_is_an_unknown_outcome(
    database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = database.connect()
    execute = opened.execute

    def interrupted(query: Any, *args: Any, **kwargs: Any) -> Any:
        answer = execute(query, *args, **kwargs)
        if query == "COMMIT":
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(opened, "execute", interrupted)
    with pytest.raises(errors.OutcomeUnknown):
        at_length(database, lambda inner: note(inner, "there"))

    assert noted(conn) == ["there"]


@MODES
def test_an_interrupt_before_the_commit_changes_nothing(database: Database, conn: Connection, mode: Mode) -> None:
    def work(inner: Connection) -> None:
        note(inner, "never")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mode(database, work)

    assert noted(conn) == []
    assert mode(database, Work("", good=1)) == "attempt 1"


def _end(conn: Connection, pid: int) -> None:
    assert conn.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)


def _cut(conn: Connection, how: int) -> None:
    """Shut the socket under the driver's feet: what is sent afterwards still arrives, or does not."""
    with socket.socket(fileno=os.dup(conn.fileno())) as wire:
        wire.shutdown(how)


def _first_time_after_the_audit_line(monkeypatch: pytest.MonkeyPatch, act: Callable[[Connection], None]) -> None:
    """A posting writes its audit line last; then comes the COMMIT."""
    log, fired = audit.log, []

    def and_then(conn: Connection, *args: Any) -> None:
        log(conn, *args)
        if not fired:
            fired.append(1)
            act(conn)

    monkeypatch.setattr(audit, "log", and_then)


def _posted_once(books: Books, conn: Connection, receipt: payments.Receipt) -> None:
    assert scene.rows(conn, "SELECT id FROM transactions") == [(receipt.transaction.id,)]
    assert scene.rows(conn, "SELECT subject FROM audit_logs WHERE action = 'transfer'") == [
        (str(receipt.transaction.id),)
    ]
    assert scene.balances(conn) == {"bank": 5, "alice": 5}
    assert scene.findings(books) == []


# -- what cannot be reached, may not be changed, is only asked -------------------------------------------------------


def test_a_server_that_is_not_there_is_unavailable() -> None:
    nowhere = make_conninfo(host="/nonexistent", dbname="books", user="u", password=SECRET)

    with pytest.raises(errors.DatabaseUnavailable) as caught:
        database_at(nowhere).connect()

    assert caught.value.exit_code == errors.Exit.UNAVAILABLE
    assert SECRET not in _all_words(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@[half/books",
        f"postgresql://u:{SECRET}@host:port/books",
        f"postgresql://u:{SECRET}@host/books?no_such_setting=1",
        f"host=h password={SECRET} nonsense",
        f"password='{SECRET}",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(errors.LedgerError) as caught:
        database_at(url).connect()

    assert caught.value.exit_code == errors.Exit.BAD_CONFIG
    assert SECRET not in _all_words(caught.value)


def test_a_database_does_not_show_its_password(conninfo: str) -> None:
    with closing(database_at(make_conninfo(conninfo, password=SECRET))) as database:
        database.connect()
        assert SECRET not in repr(database._open)
        with pytest.raises(errors.DatabaseRefused) as caught:
            database.transact(lambda inner: fail(inner, "23514"))

    assert SECRET not in _all_words(caught.value)


def _all_words(error: errors.LedgerError) -> str:
    """What a person sees, also with the traceback."""
    return "".join(traceback.format_exception(error)) + str(error.as_json()) + error.advice


def test_a_role_that_may_only_read_is_denied(server: str, conninfo: str, conn: Connection, books: Books) -> None:
    scene.create(books, "alice")
    role = f"reader_{uuid4().hex[:12]}"
    conn.execute(f"CREATE ROLE {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}".encode())
    try:
        with closing(database_at(make_conninfo(conninfo, options=f"-c role={role}"))) as database:
            assert database.read(scene.balances) == {"bank": 0, "alice": 0}
            with pytest.raises(errors.PermissionDenied):
                scene.transfer(_with(books, database), "bank", "alice", 5)
    finally:
        conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())

    assert scene.count(conn, "transactions") == 0


def test_a_transaction_that_may_only_read_is_refused_at_once(database: Database, conn: Connection) -> None:
    attempts: list[int] = []

    def work(inner: Connection) -> None:
        attempts.append(1)
        inner.execute("SET TRANSACTION READ ONLY")
        note(inner, "never")

    with pytest.raises(errors.DatabaseRefused):
        database.transact(work)

    assert (len(attempts), noted(conn)) == (1, [])


def test_a_change_states_that_it_writes_whatever_the_server_presumes(conninfo: str, conn: Connection) -> None:
    presumed = make_conninfo(
        conninfo,
        options="-c default_transaction_read_only=on -c default_transaction_isolation=serializable -c lock_timeout=7ms",
    )

    def work(inner: Connection) -> list[str]:
        note(inner, "there")
        names = ("transaction_isolation", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        return [inner.execute("SELECT current_setting(%s)", [name]).fetchall()[0][0] for name in names]

    settings = {"lock_timeout_ms": 1500, "statement_timeout_ms": 2500, "idle_timeout_ms": 3500}
    with closing(database_at(presumed, **settings)) as database:
        assert database.transact(work) == ["read committed", "1500ms", "2500ms", "3500ms"]
        after = database.connect().execute("SHOW lock_timeout").fetchall()

    assert after == [("7ms",)]
    assert noted(conn) == ["there"]


def test_a_statement_that_takes_too_long_is_busy(conninfo: str) -> None:
    with closing(database_at(conninfo, statement_timeout_ms=30)) as database, pytest.raises(errors.Busy):
        database.transact(lambda inner: inner.execute("SELECT pg_sleep(5)").fetchall())


def test_a_snapshot_sees_one_moment_and_cannot_write(database: Database, conn: Connection) -> None:
    def twice(inner: Connection) -> list[int]:
        seen = [scene.count(inner, "audit_logs")]
        note(conn, "meanwhile")
        return [*seen, scene.count(inner, "audit_logs")]

    before, after = database.snapshot(twice)
    assert before == after
    with pytest.raises(errors.DatabaseRefused):
        database.snapshot(lambda inner: note(inner, "never"))
    assert noted(conn) == ["meanwhile"]


def test_a_rehearsal_answers_and_leaves_no_trace(books: Books, conn: Connection) -> None:
    scene.create(books, "alice")
    tables = ("transactions", "transaction_entries", "audit_logs", "imports")
    before = [scene.rows(conn, f"SELECT count(*), max(xmin::text) FROM {table}") for table in tables]
    request = scene.asked("bank", "alice", 5, "rehearsed")

    receipt = payments.post_one(books, request, dry_run=True)

    assert [line.balance for line in receipt.transaction.lines] == [500, 500]
    assert [scene.rows(conn, f"SELECT count(*), max(xmin::text) FROM {table}") for table in tables] == before
    assert scene.balances(conn) == {"bank": 0, "alice": 0}
    assert scene.transfer(books, "bank", "alice", 6, "rehearsed").replayed is False


def test_a_rehearsal_is_refused_as_the_real_thing_would_be(books: Books, conn: Connection) -> None:
    scene.create(books, "alice")
    before = scene.count(conn, "audit_logs")

    with pytest.raises(errors.InsufficientFunds):
        payments.post_one(books, scene.asked("alice", "bank", 5), dry_run=True)

    assert scene.count(conn, "audit_logs") == before


def test_a_connection_says_who_it_is(conninfo: str) -> None:
    with closing(Database(config.Database(url=conninfo), None, "ledgerctl transfer")) as database:
        [[name, zone]] = database.connect().execute(
            "SELECT current_setting('application_name'), current_setting('TimeZone')"
        )

    assert (name, zone) == ("ledgerctl transfer", "UTC")


def _with(books: Books, database: Database) -> Books:
    return Books(database, books.ledger, books.name, books.actor, books.request_id)


def _post(conn: Connection, books: Books, requests: Sequence[Request]) -> None:
    """The posting path, for those who want to stop in the middle of it."""
    facts = journal.gather(conn, books.ledger, requests)
    outcomes, standings = decide(requests, facts)
    journal.write(conn, books.ledger, [one for one in outcomes if isinstance(one, Posted)], standings)
